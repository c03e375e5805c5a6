import type { Engine } from './engine.ts';

export interface ProfileOptions {
  /** Runs of each point, at least 1. */
  readonly rounds: number;
  readonly frame: Uint8Array;
  /** Waited for before every run: a tight loop keeps caches warm and promises too much. */
  readonly pause?: () => Promise<void>;
}

/**
 * Measures every point of an engine. The points take turns, so that what drifts on the device while it
 * measures (clock speed, temperature, other load) weighs on all of them alike.
 * @returns the median latency of each point in milliseconds, from the call to the answer
 */
export async function profilePoints(
  engine: Engine,
  count: number,
  { rounds, frame, pause }: ProfileOptions,
): Promise<number[]> {
  const latenciesMs = Array.from({ length: count }, (): number[] => []);
  for (let round = 0; round < rounds; round += 1) {
    for (const [point, ofPoint] of latenciesMs.entries()) {
      await pause?.();
      const { totalMs } = await engine.run(point, frame);
      ofPoint.push(totalMs);
    }
  }
  return latenciesMs.map(median);
}

function median(values: readonly number[]): number {
  const sorted = values.toSorted((a, b) => a - b);
  const upper = sorted[Math.floor(sorted.length / 2)] ?? Number.NaN;
  const lower = sorted[Math.floor((sorted.length - 1) / 2)] ?? Number.NaN;
  return (lower + upper) / 2;
}
