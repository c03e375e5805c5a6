import type { Clock } from '../../shared/clock.ts';

/** Lets at most so many through per minute and counts what it held back. */
export interface EventLimiter {
  /** Whether one more may pass now; if so, how many were held back since the last that passed. */
  pass(): { readonly heldBack: number } | undefined;
}

/** A token bucket over a minute, full at the start. */
export function createEventLimiter(clock: Clock, perMinute: number): EventLimiter {
  let tokens = perMinute;
  let filledMs = clock.monoMs();
  let heldBack = 0;
  return {
    pass: () => {
      const nowMs = clock.monoMs();
      tokens = Math.min(perMinute, tokens + ((nowMs - filledMs) / 60_000) * perMinute);
      filledMs = nowMs;
      if (tokens < 1) {
        heldBack += 1;
        return undefined;
      }
      tokens -= 1;
      const passed = { heldBack };
      heldBack = 0;
      return passed;
    },
  };
}
