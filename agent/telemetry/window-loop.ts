import type { Clock } from '../../shared/clock.ts';
import { MAX_WINDOW_MS } from '../../shared/protocol/window.ts';
import type { DeviceGatherer, DeviceWindow } from './gauges.ts';
import type { Waiting } from './outbox.ts';
import type { Recorder } from './recorder.ts';
import type { WindowGatherer, WindowRest } from './window.ts';

/** What a window says of the moment at which it ends. */
export type WindowEnd = Omit<WindowRest, keyof DeviceWindow | 'durationMs' | 'outboxRecords' | 'outboxAgeMs'>;

export interface WindowLoopDeps {
  readonly gatherer: WindowGatherer;
  readonly device: DeviceGatherer;
  /** What waits in the outbox now. */
  readonly waiting: () => Waiting;
  readonly recorder: Recorder;
  readonly clock: Clock;
  readonly windowMs: () => number;
  readonly end: () => WindowEnd;
}

/** Cuts a window every `windowMs`, and one when it ends, so that no inference goes uncounted. */
export interface WindowLoop {
  run(signal: AbortSignal): Promise<void>;
  /** Says that the length has changed: the window in progress follows the new one. */
  lengthChanged(): void;
  /**
   * Cuts the window in progress now, because the family that serves is about to be another one: no window is
   * of two. To be called while `end` still speaks of the old one, when no frame of it is under way.
   */
  familyLeaves(): void;
}

/** Makes the loop that cuts windows. */
export function createWindowLoop(deps: WindowLoopDeps): WindowLoop {
  const { gatherer, recorder, clock, windowMs } = deps;
  let changed = new AbortController();
  let startedMs = clock.monoMs();
  const cut = (): void => {
    const nowMs = clock.monoMs();
    recorder.window(gatherer.take(restOf(deps, startedMs, nowMs), nowMs));
    startedMs = nowMs;
  };
  const waitUntilDue = async (signal: AbortSignal): Promise<void> => {
    for (;;) {
      const leftMs = startedMs + windowMs() - clock.monoMs();
      if (leftMs <= 0 || signal.aborted) return;
      changed = new AbortController();
      await clock.sleep(leftMs, AbortSignal.any([signal, changed.signal])).catch(() => undefined);
    }
  };
  return {
    lengthChanged: () => changed.abort(),
    familyLeaves: () => {
      cut();
      gatherer.familyLeft();
      changed.abort();
    },
    run: async (signal) => {
      startedMs = clock.monoMs();
      while (!signal.aborted) {
        await waitUntilDue(signal);
        cut();
      }
    },
  };
}

function restOf({ device, waiting, end }: WindowLoopDeps, startedMs: number, nowMs: number): WindowRest {
  const { records, ageMs } = waiting();
  return {
    ...end(),
    ...device.take(nowMs),
    // A process that was stopped for hours would report what no controller takes in.
    durationMs: Math.min(nowMs - startedMs, MAX_WINDOW_MS),
    outboxRecords: records,
    ...(ageMs === undefined ? {} : { outboxAgeMs: ageMs }),
  };
}
