import type { Clock } from '../../shared/clock.ts';
import type { Recorder } from './recorder.ts';
import type { WindowEnd, WindowGatherer } from './window.ts';

export interface WindowLoopDeps {
  readonly gatherer: WindowGatherer;
  readonly recorder: Recorder;
  readonly clock: Clock;
  readonly windowMs: () => number;
  readonly end: () => Omit<WindowEnd, 'durationMs'>;
}

/** Cuts a window every `windowMs`, and one when it ends, so that no inference goes uncounted. */
export interface WindowLoop {
  run(signal: AbortSignal): Promise<void>;
  /** Says that the length has changed: the window in progress follows the new one. */
  lengthChanged(): void;
}

/** Makes the loop that cuts windows. */
export function createWindowLoop({ gatherer, recorder, clock, windowMs, end }: WindowLoopDeps): WindowLoop {
  let changed = new AbortController();
  const waitUntilDue = async (startedMs: number, signal: AbortSignal): Promise<void> => {
    for (;;) {
      const leftMs = startedMs + windowMs() - clock.monoMs();
      if (leftMs <= 0 || signal.aborted) return;
      changed = new AbortController();
      await clock.sleep(leftMs, AbortSignal.any([signal, changed.signal])).catch(() => undefined);
    }
  };
  return {
    lengthChanged: () => changed.abort(),
    run: async (signal) => {
      let startedMs = clock.monoMs();
      while (!signal.aborted) {
        await waitUntilDue(startedMs, signal);
        const nowMs = clock.monoMs();
        recorder.window(gatherer.take({ ...end(), durationMs: nowMs - startedMs }));
        startedMs = nowMs;
      }
    },
  };
}
