import type { Archive, Evaluated } from './archive.ts';

/** Slices of the latencies, in equal ratios. */
const SLICES = 24;
/** Slices of which a pass takes one point each, evenly spaced. */
const PER_PASS = 4;
/** Points further below the front are not looked at. */
const SLACK = 1e-2;
/** A slice keeps its best points only, once it has so many. */
const MOST = 400;
const KEPT = 200;

/**
 * Points near the front by latency, each slice in its turn: where the front is flat and has few points, and
 * beyond its end, there is as much to be found as where it has many.
 */
export class Slices {
  readonly #archive: Archive;
  readonly #fromLog: number;
  readonly #perLog: number;
  readonly #slices: Evaluated[][] = Array.from({ length: SLICES }, () => []);
  #turn = 0;
  #looked = 0;

  /** Over the latencies of what the archive has so far. */
  constructor(archive: Archive) {
    this.#archive = archive;
    const slowest = archive.all.reduce((most, { latencyMs }) => Math.max(most, latencyMs), 0);
    this.#fromLog = Math.log(archive.front[0]?.latencyMs ?? slowest);
    const range = Math.log(slowest) - this.#fromLog;
    this.#perLog = range > 0 ? SLICES / range : 0;
  }

  /** The point nearest to the front, or furthest above it, of each of the next slices. */
  next(done: ReadonlySet<Evaluated>): Evaluated[] {
    this.#sortIn();
    const first = this.#turn;
    this.#turn = (this.#turn + 1) % SLICES;
    return Array.from({ length: PER_PASS }, (_, index) => {
      const slice = (first + Math.floor((index * SLICES) / PER_PASS)) % SLICES;
      return this.#best(slice, done);
    }).filter((one) => one !== undefined);
  }

  #best(slice: number, done: ReadonlySet<Evaluated>): Evaluated | undefined {
    let found: Evaluated | undefined;
    let least = -SLACK;
    for (const one of this.#slices[slice] ?? []) {
      const gap = this.#gapOf(one);
      if (gap <= least || done.has(one)) continue;
      found = one;
      least = gap;
    }
    return found;
  }

  #sortIn(): void {
    const { all } = this.#archive;
    for (; this.#looked < all.length; this.#looked += 1) {
      const one = all[this.#looked];
      if (one === undefined || this.#gapOf(one) <= -SLACK) continue;
      const place = Math.floor((Math.log(one.latencyMs) - this.#fromLog) * this.#perLog);
      this.#slices[Math.max(0, Math.min(SLICES - 1, place))]?.push(one);
    }
    for (const [index, slice] of this.#slices.entries()) {
      if (slice.length <= MOST) continue;
      const ranked = slice.map((one) => ({ one, gap: this.#gapOf(one) })).sort((a, b) => b.gap - a.gap);
      this.#slices[index] = ranked.slice(0, KEPT).map(({ one }) => one);
    }
  }

  #gapOf({ accuracy, latencyMs }: Evaluated): number {
    return accuracy - this.#archive.accuracyAt(latencyMs);
  }
}
