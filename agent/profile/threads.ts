/** What a number of intra-op threads was measured to give. */
export interface ThreadsMeasured {
  readonly threads: number;
  readonly p95Ms: number;
}

/** More threads must be better by this share: they are taken from everything else that runs on the device. */
export const THREADS_MARGIN = 0.1;

/**
 * Chooses intra-op threads by what was measured: from the fewest up, more are taken when their p95 is lower
 * than that of those chosen so far by more than `THREADS_MARGIN`. The tail decides and not the median: many
 * threads win medians and lose tails, where the sessions' threads get into each other's way.
 * @param measured at least one
 */
export function chooseThreads(measured: readonly ThreadsMeasured[]): number {
  const fewestFirst = measured.toSorted((a, b) => a.threads - b.threads);
  const chosen = fewestFirst.reduce((best, next) =>
    next.p95Ms < best.p95Ms * (1 - THREADS_MARGIN) ? next : best,
  );
  return chosen.threads;
}
