import type { Clock } from '../../shared/clock.ts';

/** Bounds a rate of bytes, with short bursts. */
export interface TokenBucket {
  /** How long until `bytes` may go, milliseconds; 0: now. */
  waitMs(bytes: number): number;
  /** Counts bytes that go; a negative number gives back what did not. */
  spend(bytes: number): void;
}

/** What may go at once after a pause, seconds of the rate. */
const BURST_S = 0.25;

/**
 * Makes a full bucket.
 * @param bytesPerS 0: no bound
 * @param leastBytes the largest piece that is asked for: it goes whatever the rate is
 */
export function createTokenBucket(clock: Clock, bytesPerS: number, leastBytes: number): TokenBucket {
  if (bytesPerS <= 0) return { waitMs: () => 0, spend: () => {} };
  const capacity = Math.max(leastBytes, bytesPerS * BURST_S);
  let tokens = capacity;
  let filledMs = clock.monoMs();
  const fill = (): void => {
    const nowMs = clock.monoMs();
    tokens = Math.min(capacity, tokens + ((nowMs - filledMs) / 1_000) * bytesPerS);
    filledMs = nowMs;
  };
  return {
    waitMs: (bytes) => {
      fill();
      return tokens >= bytes ? 0 : Math.ceil(((bytes - tokens) / bytesPerS) * 1_000);
    },
    spend: (bytes) => {
      tokens = Math.min(capacity, tokens - bytes);
    },
  };
}
