/** Something that takes time and is right so often. */
export interface Tradeoff {
  readonly latencyMs: number;
  /** Top-1, 0..1. */
  readonly accuracy: number;
}

/** Those that no other one is both as fast and as accurate as: ascending latency, ascending accuracy. */
export function undominated<T extends Tradeoff>(points: readonly T[]): T[] {
  const sorted = points.toSorted((a, b) => a.latencyMs - b.latencyMs || b.accuracy - a.accuracy);
  let best = Number.NEGATIVE_INFINITY;
  return sorted.filter(({ accuracy }) => {
    const isBetter = accuracy > best;
    best = Math.max(best, accuracy);
    return isBetter;
  });
}
