import type { Clock } from '../clock.ts';

/** One inference; `turn` counts those of its model, so that it can take another frame each time. */
export type RunOnce = (turn: number) => Promise<unknown>;

/** One inference, and what it took in milliseconds. */
export type TimedRun = (turn: number) => Promise<number>;

/** Waits until the next inference is due. */
export type Pace = () => Promise<void>;

/**
 * Lets one inference begin every `periodMs`, as frames come from a camera: caches grow cold in between, which
 * a tight loop does not show; it promises up to 1.6 ms too little. One that is late shifts those behind it;
 * nothing is made up for. Without a period nobody waits.
 */
export function pacer(clock: Clock, periodMs: number | undefined, signal?: AbortSignal): Pace {
  if (periodMs === undefined) return async () => undefined;
  let dueMs = clock.monoMs();
  return async () => {
    // Also without anything to wait for: what else the process serves needs its turn.
    await clock.sleep(Math.max(0, dueMs - clock.monoMs()), signal);
    dueMs = Math.max(dueMs, clock.monoMs()) + periodMs;
  };
}

/** A run that is timed from the call to the answer. */
export function timed(run: RunOnce, clock: Clock): TimedRun {
  return async (turn) => {
    const startMs = clock.monoMs();
    await run(turn);
    return clock.monoMs() - startMs;
  };
}

export interface TurnOptions {
  /** Runs of each model that count. */
  readonly rounds: number;
  /** Rounds before them that do not: the first runs of a session allocate. */
  readonly warmUp: number;
  readonly pace: Pace;
  readonly signal?: AbortSignal;
  readonly onRound?: () => Promise<void>;
}

/**
 * Runs models in turn, so that what drifts while it is measured (clock speed, temperature, other load) weighs
 * on all of them alike. Nearly every run is then the first after a switch: up to 1 ms dearer than one that
 * follows a run of the same model.
 * @returns the latencies of each model, milliseconds
 * @throws what a run throws, and the signal's reason when it aborts
 */
export async function measureInTurns(runs: readonly TimedRun[], options: TurnOptions): Promise<number[][]> {
  const { rounds, warmUp, pace, signal, onRound } = options;
  const latenciesMs = runs.map((): number[] => []);
  for (let round = 0; round < warmUp + rounds; round += 1) {
    for (const index of orderOfRound(round, runs.length)) {
      await pace();
      signal?.throwIfAborted();
      const latencyMs = await runs[index]?.(round);
      if (latencyMs !== undefined && round >= warmUp) latenciesMs[index]?.push(latencyMs);
    }
    await onRound?.();
  }
  return latenciesMs;
}

/**
 * In which order models run: a large one leaves the caches cold for the next, so each follows every other one
 * equally often within `count` rounds, 2 `count` where it is odd (E. J. Williams, Australian Journal of
 * Scientific Research A 2, 1949).
 */
export function orderOfRound(round: number, count: number): number[] {
  const zigzag = Array.from({ length: count }, (_, place) =>
    place % 2 === 1 ? (place + 1) / 2 : (count - place / 2) % count,
  );
  const order = zigzag.map((first) => (first + round) % count);
  return Math.floor(round / count) % 2 === 1 ? order.reverse() : order;
}
