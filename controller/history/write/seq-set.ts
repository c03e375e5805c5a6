import type { SeqRange } from '../../../shared/protocol/event.ts';

/** Ranges of one boot, at most: whoever leaves out every second number must not fill memory and disk. */
export const MAX_RANGES = 4_096;

/**
 * A set of sequence numbers as closed, disjoint ranges that do not touch. It remembers which ranges changed
 * since `takeChanges`, so that only those are written.
 */
export class SeqSet {
  /** Begin and end of each range, rising; two arrays of numbers take far less room than one of pairs. */
  readonly #froms: number[] = [];
  readonly #tos: number[] = [];
  /** Begins of ranges that were made, changed or went away. */
  readonly #changed = new Set<number>();

  /** @param ranges closed, disjoint, rising, as they were stored */
  constructor(ranges: Iterable<readonly [from: number, to: number]> = []) {
    for (const [from, to] of ranges) {
      this.#froms.push(from);
      this.#tos.push(to);
    }
  }

  /** How many ranges it takes. */
  get size(): number {
    return this.#froms.length;
  }

  has(seq: number): boolean {
    return (this.#tos[this.#before(seq)] ?? -1) >= seq;
  }

  /** Whether `seq`, which is not in it, would need a range of its own. */
  standsAlone(seq: number): boolean {
    const at = this.#before(seq);
    return this.#tos[at] !== seq - 1 && this.#froms[at + 1] !== seq + 1;
  }

  /** Adds a number that is not in it. */
  add(seq: number): void {
    const at = this.#before(seq);
    const from = this.#froms[at];
    const next = this.#froms[at + 1];
    const joinsNext = next === seq + 1;
    if (from !== undefined && this.#tos[at] === seq - 1) {
      this.#changed.add(from);
      this.#tos[at] = joinsNext ? (this.#tos[at + 1] ?? seq) : seq;
      if (joinsNext) this.#remove(at + 1, next);
    } else if (joinsNext) {
      this.#changed.add(next).add(seq);
      this.#froms[at + 1] = seq;
    } else {
      this.#changed.add(seq);
      this.#froms.splice(at + 1, 0, seq);
      this.#tos.splice(at + 1, 0, seq);
    }
  }

  /** The ranges that changed: with their end, or without one where a range with this begin is no more. */
  takeChanges(): { readonly from: number; readonly to: number | undefined }[] {
    const changes = [...this.#changed].map((from) => {
      const at = this.#before(from);
      return { from, to: this.#froms[at] === from ? this.#tos[at] : undefined };
    });
    this.#changed.clear();
    return changes;
  }

  ranges(): SeqRange[] {
    return this.#froms.map((from, at) => [from, this.#tos[at] ?? from]);
  }

  #remove(at: number, from: number): void {
    this.#changed.add(from);
    this.#froms.splice(at, 1);
    this.#tos.splice(at, 1);
  }

  /** Index of the last range that begins at or before `seq`; -1 when there is none. */
  #before(seq: number): number {
    let low = 0;
    let high = this.#froms.length;
    // Nearly always the newest number of a boot is asked for.
    if ((this.#froms[high - 1] ?? seq + 1) <= seq) return high - 1;
    while (low < high) {
      const middle = (low + high) >>> 1;
      if ((this.#froms[middle] ?? 0) <= seq) low = middle + 1;
      else high = middle;
    }
    return low - 1;
  }
}

/** Closed ranges, rising, that hold exactly these numbers. */
export function rangesOf(seqs: Iterable<number>): SeqRange[] {
  const ranges: SeqRange[] = [];
  for (const seq of Float64Array.from(seqs).sort()) {
    const last = ranges.at(-1);
    if (last !== undefined && seq <= last[1] + 1) last[1] = seq;
    else ranges.push([seq, seq]);
  }
  return ranges;
}
