import type { Clock } from './clock.ts';

/** A sleep that others can end; one sleeper at a time. */
export interface Wakeable {
  /**
   * Resolves after `ms` (undefined: never by itself), or when it is woken: at once if that happened since the
   * last sleep. Rejects with the signal's reason when it aborts.
   */
  sleep(ms: number | undefined, signal: AbortSignal): Promise<void>;
  wake(): void;
}

/** Makes a sleep on this clock. */
export function createWakeable(clock: Clock): Wakeable {
  let woken = false;
  let end = (): void => {};
  /** Without a timer, which costs more than all the rest where it is ended a thousand times a second. */
  const sleepUntilWoken = (): Promise<void> =>
    new Promise((resolve) => {
      end = resolve;
    });
  const sleepFor = async (ms: number): Promise<void> => {
    const waiting = new AbortController();
    end = () => waiting.abort();
    try {
      await clock.sleep(ms, waiting.signal);
    } catch (error) {
      if (!waiting.signal.aborted) throw error;
    }
  };
  return {
    sleep: async (ms, signal) => {
      signal.throwIfAborted();
      const onAbort = (): void => end();
      signal.addEventListener('abort', onAbort, { once: true });
      try {
        if (!woken) await (ms === undefined ? sleepUntilWoken() : sleepFor(ms));
      } finally {
        signal.removeEventListener('abort', onAbort);
        end = () => {};
        woken = false;
      }
      signal.throwIfAborted();
    },
    wake: () => {
      woken = true;
      end();
    },
  };
}
