import type { Clock } from '../../shared/clock.ts';

/** One inference; `turn` counts those of its model, so that it can take another frame each time. */
export type RunOnce = (turn: number) => Promise<void>;

/** Waits until the next inference is due. */
export type Pace = () => Promise<void>;

/**
 * Lets one inference begin every `periodMs`, as frames come from a camera: caches grow cold in between, which
 * a tight loop does not show. One that is late shifts those behind it; nothing is made up for. Without a
 * period nobody waits.
 */
export function pacer(clock: Clock, periodMs: number | undefined, signal?: AbortSignal): Pace {
  if (periodMs === undefined) return async () => undefined;
  let dueMs = clock.monoMs();
  return async () => {
    const waitMs = dueMs - clock.monoMs();
    if (waitMs > 0) await clock.sleep(waitMs, signal);
    dueMs = Math.max(dueMs, clock.monoMs()) + periodMs;
  };
}

export interface TurnOptions {
  /** Measured runs of each model. */
  readonly rounds: number;
  /** Rounds before them that are not measured. */
  readonly warmUp: number;
  readonly pace: Pace;
  readonly clock: Clock;
  readonly signal?: AbortSignal;
  readonly onRound?: () => Promise<void>;
}

/**
 * Runs the models in turn, so that what drifts while it is measured (clock speed, temperature, other load)
 * weighs on all of them alike. Nearly every run is then the first after a switch: up to 1 ms dearer than one
 * that follows a run of the same model.
 * @returns the latencies of each model, milliseconds
 */
export async function measureInTurns(runs: readonly RunOnce[], options: TurnOptions): Promise<number[][]> {
  const { rounds, warmUp, pace, clock, signal, onRound } = options;
  const latenciesMs = runs.map((): number[] => []);
  for (let round = 0; round < warmUp + rounds; round += 1) {
    for (const index of orderOfRound(round, runs.length)) {
      await pace();
      signal?.throwIfAborted();
      const startMs = clock.monoMs();
      await runs[index]?.(round);
      if (round >= warmUp) latenciesMs[index]?.push(clock.monoMs() - startMs);
    }
    await onRound?.();
  }
  return latenciesMs;
}

/**
 * In which order the models run: a large one leaves the caches cold for the next, so each follows every other
 * one equally often within `count` rounds, 2 `count` where it is odd (E. J. Williams, Australian Journal of
 * Scientific Research A 2, 1949).
 */
export function orderOfRound(round: number, count: number): number[] {
  const zigzag = Array.from({ length: count }, (_, place) =>
    place % 2 === 1 ? (place + 1) / 2 : (count - place / 2) % count,
  );
  const order = zigzag.map((first) => (first + round) % count);
  return Math.floor(round / count) % 2 === 1 ? order.reverse() : order;
}
