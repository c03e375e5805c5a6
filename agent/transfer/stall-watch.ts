import type { Clock } from '../../shared/clock.ts';
import { AppError } from '../../shared/errors.ts';
import { createWakeable } from '../../shared/wake.ts';
import type { LinkState } from './link-state.ts';

/** A timer of Node holds no more than 24 days. */
const MAX_SLEEP_MS = 3_600_000;

/** Ends what makes no progress, counting only the time in which the link was up. */
export interface StallWatch {
  /** Runs until `signal` aborts. @throws AppError `timeout` when there was no progress for too long */
  run(signal: AbortSignal): Promise<void>;
  progressed(): void;
  linkChanged(): void;
}

export interface StallWatchDeps {
  readonly clock: Clock;
  readonly links: LinkState;
  /** Longest time without progress on a link that is up, milliseconds. */
  readonly limitMs: number;
  /** Whether something is done here that takes its time. */
  readonly isBusy: () => boolean;
}

/** Makes a watch; its time begins now. */
export function createStallWatch({ clock, links, limitMs, isBusy }: StallWatchDeps): StallWatch {
  const wakeable = createWakeable(clock);
  let spentMs = 0;
  let upSinceMs = links.current === undefined ? undefined : clock.monoMs();
  const stalledMs = (): number => spentMs + (upSinceMs === undefined ? 0 : clock.monoMs() - upSinceMs);
  const restart = (spent: number): void => {
    spentMs = spent;
    upSinceMs = links.current === undefined ? undefined : clock.monoMs();
  };
  return {
    run: async (signal) => {
      while (!signal.aborted) {
        if (isBusy()) restart(0);
        const leftMs = limitMs - stalledMs();
        if (leftMs <= 0) {
          throw new AppError('timeout', `nothing that is missing came in ${limitMs} ms of a link that is up`);
        }
        await wakeable.sleep(upSinceMs === undefined ? undefined : Math.min(leftMs, MAX_SLEEP_MS), signal);
      }
    },
    progressed: () => restart(0),
    linkChanged: () => {
      restart(stalledMs());
      wakeable.wake();
    },
  };
}
