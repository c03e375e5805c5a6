import { setTimeout as delay } from 'node:timers/promises';

/** The only source of time. Everything that waits or stamps takes one, so that tests can own time. */
export interface Clock {
  /** Wall clock, milliseconds since the epoch. It may jump. */
  now(): number;
  /** Monotonic clock, milliseconds since an arbitrary start. It never goes back. */
  monoMs(): number;
  /** Resolves after `ms`; rejects with the signal's reason when `signal` aborts first. */
  sleep(ms: number, signal?: AbortSignal): Promise<void>;
}

/** The clock of the machine. */
export const systemClock: Clock = {
  now: () => Date.now(),
  monoMs: () => performance.now(),
  sleep: async (ms, signal) => {
    await delay(ms, undefined, signal === undefined ? {} : { signal });
  },
};
