import { availableParallelism } from 'node:os';
import type { ContentionScript } from './script.ts';

/** Share of each core that the contender takes while it contends: it slows short inferences by about 1.7 times. */
export const CONTENTION_DUTY = 0.6;
/**
 * The latency budget as a multiple of the largest level's own latency. Frames that come one by one take a fifth
 * longer than those that were profiled, and they vary by as much.
 */
export const BUDGET_FACTOR = 1.8;

/**
 * A latency budget that the largest level meets on a calm machine with its noise, and not when load makes it
 * nearly twice as slow: what makes a level the right one then depends on the load.
 * @param latenciesMs of the operating points, as the device measured them
 * @returns milliseconds, with two digits; NaN without points
 */
export function budgetUnderContention(latenciesMs: readonly number[]): number {
  const largestMs = latenciesMs.reduce((a, b) => Math.max(a, b), 0);
  return latenciesMs.length === 0 ? Number.NaN : Number((BUDGET_FACTOR * largestMs).toPrecision(2));
}

/** A script of calm, contention and calm, each a third of the time, with one worker on every core. */
export function calmContendedCalm(totalMs: number, duty = CONTENTION_DUTY): ContentionScript {
  const thirdMs = Math.max(1, Math.round(totalMs / 3));
  return {
    kind: 'integer',
    workers: availableParallelism(),
    steps: [
      { atMs: 0, duty: 0 },
      { atMs: thirdMs, duty },
      { atMs: 2 * thirdMs, duty: 0 },
      { atMs: 3 * thirdMs, duty: 0 },
    ],
  };
}
