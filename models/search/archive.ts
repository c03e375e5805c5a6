import { AppError } from '../../shared/errors.ts';
import type { AccuracyPredictor } from '../predictor/accuracy-predictor.ts';
import { candidateOf, type Genome, keyOf, type Landscape, latencyOf } from './genome.ts';

/** A genome whose accuracy the predictor has said. */
export interface Evaluated {
  readonly genome: Genome;
  readonly key: string;
  readonly accuracy: number;
  readonly latencyMs: number;
}

export interface ArchiveOptions {
  readonly landscape: Landscape;
  readonly predictor: AccuracyPredictor;
  /** Evaluations at the most. */
  readonly evaluations: number;
  /** Genomes slower than this are not evaluated. */
  readonly limitMs: number;
  readonly signal?: AbortSignal | undefined;
  readonly onBatch: (archive: Archive) => void;
}

const BATCH = 1_000;

/** Every genome evaluated so far, each once, and those that no other beats. */
export class Archive {
  readonly #options: ArchiveOptions;
  readonly #byKey = new Map<string, Evaluated>();
  readonly #all: Evaluated[] = [];
  #front: Evaluated[] = [];

  constructor(options: ArchiveOptions) {
    this.#options = options;
  }

  /** In the order of their evaluation. */
  get all(): readonly Evaluated[] {
    return this.#all;
  }

  get evaluations(): number {
    return this.#byKey.size;
  }

  get remaining(): number {
    return this.#options.evaluations - this.#byKey.size;
  }

  /** Ascending latency, ascending accuracy. */
  get front(): readonly Evaluated[] {
    return this.#front;
  }

  find(key: string): Evaluated | undefined {
    return this.#byKey.get(key);
  }

  /** Best accuracy at a latency of `ms` or less; 0 where nothing is that fast. */
  accuracyAt(ms: number): number {
    return accuracyAt(this.#front, ms);
  }

  /** Evaluates those of the genomes that are new, under the limit and within the bound, in their order. */
  async evaluate(genomes: Iterable<Genome>): Promise<void> {
    const { landscape, limitMs } = this.#options;
    const fresh = new Map<string, { genome: Genome; latencyMs: number }>();
    for (const genome of genomes) {
      if (fresh.size >= this.remaining) break;
      const key = keyOf(genome);
      if (this.#byKey.has(key) || fresh.has(key)) continue;
      const latencyMs = latencyOf(landscape, genome);
      if (latencyMs <= limitMs) fresh.set(key, { genome, latencyMs });
    }
    const list = [...fresh].map(([key, rest]) => ({ key, ...rest }));
    for (let start = 0; start < list.length; start += BATCH)
      await this.#batch(list.slice(start, start + BATCH));
  }

  async #batch(list: readonly Omit<Evaluated, 'accuracy'>[]): Promise<void> {
    const { landscape, predictor, signal, onBatch } = this.#options;
    signal?.throwIfAborted();
    const accuracies = await predictor.predict(list.map(({ genome }) => candidateOf(landscape, genome)));
    const found = list.map((one, index) => ({ ...one, accuracy: accuracies[index] ?? Number.NaN }));
    const wrong = found.findIndex(({ accuracy }) => !Number.isFinite(accuracy));
    if (wrong >= 0 || accuracies.length !== list.length) {
      const what = wrong >= 0 ? `${accuracies[wrong]} as an accuracy` : `${accuracies.length} accuracies`;
      throw new AppError(
        'invalid',
        `predictor ${predictor.name}: gave ${what} for ${list.length} candidates`,
      );
    }
    for (const one of found) {
      this.#byKey.set(one.key, one);
      this.#all.push(one);
    }
    this.#front = frontOf([...this.#front, ...found]);
    onBatch(this);
  }
}

/** The points that no other beats, one of each latency: ascending latency, ascending accuracy. */
export function frontOf<T extends { readonly latencyMs: number; readonly accuracy: number }>(
  points: readonly T[],
): T[] {
  const front: T[] = [];
  for (const point of points.toSorted((a, b) => a.latencyMs - b.latencyMs || b.accuracy - a.accuracy)) {
    if (point.accuracy > (front.at(-1)?.accuracy ?? Number.NEGATIVE_INFINITY)) front.push(point);
  }
  return front;
}

/** The last point of a front at a latency of `ms` or less. */
export function bestUnder<T extends { readonly latencyMs: number }>(
  front: readonly T[],
  ms: number,
): T | undefined {
  let low = 0;
  let high = front.length;
  while (low < high) {
    const middle = (low + high) >> 1;
    if ((front[middle]?.latencyMs ?? 0) <= ms) low = middle + 1;
    else high = middle;
  }
  return front[low - 1];
}

function accuracyAt(front: readonly Evaluated[], ms: number): number {
  return bestUnder(front, ms)?.accuracy ?? 0;
}
