import type { Clock } from '../../shared/clock.ts';
import type { FrameLoop } from '../runtime/loop.ts';

/** Waits for a gap between frames in which so many milliseconds fit. */
export type AwaitGap = (expectedMs: number, signal: AbortSignal) => Promise<void>;

/** A gap must have this many times the room: what runs beside frames takes longer than alone. */
const SAFETY = 1.5;
/** On a device that is busy all the time there is no gap: after so long what waits is done all the same. */
const PATIENCE_MS = 100;
const POLL_MS = 2;

/**
 * Makes the function that waits for gaps.
 * @param loop that answers frames now; undefined while none does: then all time is a gap
 */
export function createGaps(
  clock: Clock,
  loop: () => Pick<FrameLoop, 'leftMs' | 'isDoingIdleWork'> | undefined,
): AwaitGap {
  const isGap = (expectedMs: number): boolean => {
    const running = loop();
    if (running === undefined) return true;
    return !running.isDoingIdleWork() && running.leftMs() > expectedMs * SAFETY;
  };
  return async (expectedMs, signal) => {
    const untilMs = clock.monoMs() + PATIENCE_MS;
    signal.throwIfAborted();
    while (!isGap(expectedMs) && clock.monoMs() < untilMs) await clock.sleep(POLL_MS, signal);
  };
}
