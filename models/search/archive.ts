import { AppError } from '../../shared/errors.ts';
import type { AccuracyPredictor, PredictGenomes } from '../predictor/accuracy-predictor.ts';
import { candidateOf, type Genome, type Landscape, latencyOf } from './genome.ts';
import { GenomeIndex } from './genome-index.ts';

/** A genome whose accuracy the predictor has said. */
export interface Evaluated {
  readonly genome: Genome;
  readonly accuracy: number;
  readonly latencyMs: number;
}

type Mutable = { -readonly [Key in keyof Evaluated]: Evaluated[Key] };

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
  readonly #index = new GenomeIndex<Evaluated>();
  readonly #all: Evaluated[] = [];
  readonly #predict: PredictGenomes;
  #front: Evaluated[] = [];
  /** Of the front's points: they are looked up millions of times. */
  #frontMs = new Float64Array(0);
  #frontAccuracies = new Float64Array(0);

  constructor(options: ArchiveOptions) {
    this.#options = options;
    const { landscape, predictor } = options;
    this.#predict =
      predictor.forGenomes?.(landscape) ??
      ((genomes) => predictor.predict(genomes.map((genome) => candidateOf(landscape, genome))));
  }

  /** In the order of their evaluation. */
  get all(): readonly Evaluated[] {
    return this.#all;
  }

  get evaluations(): number {
    return this.#all.length;
  }

  get remaining(): number {
    return this.#options.evaluations - this.#all.length;
  }

  /** Ascending latency, ascending accuracy. */
  get front(): readonly Evaluated[] {
    return this.#front;
  }

  /** Best accuracy at a latency of `ms` or less; 0 where nothing is that fast. */
  accuracyAt(ms: number): number {
    const latencies = this.#frontMs;
    let low = 0;
    let high = latencies.length;
    while (low < high) {
      const middle = (low + high) >> 1;
      if ((latencies[middle] ?? 0) <= ms) low = middle + 1;
      else high = middle;
    }
    return low > 0 ? (this.#frontAccuracies[low - 1] ?? 0) : 0;
  }

  /**
   * Evaluates those of the genomes that are new, under the limit and within the bound, in their order.
   * @returns of each genome what is known of it now
   */
  async evaluate(genomes: Iterable<Genome>): Promise<(Evaluated | undefined)[]> {
    const fresh: Evaluated[] = [];
    const left = this.remaining;
    const known: (Evaluated | undefined)[] = [];
    for (const genome of genomes) {
      const found = this.#index.find(genome);
      known.push(found ?? (fresh.length < left ? this.#added(genome, fresh) : undefined));
    }
    for (let start = 0; start < fresh.length; start += BATCH) {
      await this.#batch(fresh.slice(start, start + BATCH));
    }
    return known;
  }

  #added(genome: Genome, fresh: Evaluated[]): Evaluated | undefined {
    const { landscape, limitMs } = this.#options;
    const latencyMs = latencyOf(landscape, genome);
    if (latencyMs > limitMs) return undefined;
    const one: Evaluated = { genome, accuracy: Number.NaN, latencyMs };
    this.#index.add(one);
    fresh.push(one);
    return one;
  }

  async #batch(list: readonly Mutable[]): Promise<void> {
    const { predictor, signal, onBatch } = this.#options;
    signal?.throwIfAborted();
    const accuracies = await this.#predict(list.map(({ genome }) => genome));
    for (const [index, one] of list.entries()) one.accuracy = accuracies[index] ?? Number.NaN;
    const wrong = list.findIndex(({ accuracy }) => !Number.isFinite(accuracy));
    if (wrong >= 0 || accuracies.length !== list.length) {
      const what = wrong >= 0 ? `${accuracies[wrong]} as an accuracy` : `${accuracies.length} accuracies`;
      throw new AppError(
        'invalid',
        `predictor ${predictor.name}: gave ${what} for ${list.length} candidates`,
      );
    }
    for (const one of list) this.#all.push(one);
    const better = list.filter(({ accuracy, latencyMs }) => accuracy > this.accuracyAt(latencyMs));
    if (better.length > 0) this.#setFront(frontOf([...this.#front, ...better]));
    onBatch(this);
  }

  #setFront(front: Evaluated[]): void {
    this.#front = front;
    this.#frontMs = Float64Array.from(front, ({ latencyMs }) => latencyMs);
    this.#frontAccuracies = Float64Array.from(front, ({ accuracy }) => accuracy);
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
