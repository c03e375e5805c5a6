import type { Clock } from '../../shared/clock.ts';

/** A sleep that others can end. */
export interface Wakeable {
  /**
   * Resolves after `ms`, or when it is woken: at once if that happened since the last sleep.
   * Rejects with the signal's reason when it aborts.
   */
  sleep(ms: number, signal: AbortSignal): Promise<void>;
  wake(): void;
}

export function createWakeable(clock: Clock): Wakeable {
  let woken = false;
  let current: AbortController | undefined;
  return {
    sleep: async (ms, signal) => {
      signal.throwIfAborted();
      const waiting = new AbortController();
      const end = (): void => waiting.abort();
      signal.addEventListener('abort', end, { once: true });
      current = waiting;
      try {
        if (!woken) await clock.sleep(ms, waiting.signal);
      } catch (error) {
        if (!waiting.signal.aborted) throw error;
      } finally {
        signal.removeEventListener('abort', end);
        current = undefined;
        woken = false;
      }
      signal.throwIfAborted();
    },
    wake: () => {
      woken = true;
      current?.abort();
    },
  };
}
