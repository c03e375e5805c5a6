import type { Loop } from '../../shared/backoff.ts';
import { AppError } from '../../shared/errors.ts';
import type { FrameLoop, Handover } from '../runtime/loop.ts';

/** Runs the frame loop of whichever family serves. */
export interface FrameTurns {
  readonly run: Loop;
  /** Whether frames are being answered. */
  isRunning(): boolean;
  /**
   * Does something between two frames, when no frame and no idle work is under way; the loop that `current`
   * names afterwards goes on with the frame that is due next.
   * @throws AppError `conflict` when the frames end before that; what `act` throws
   */
  between(act: () => void): Promise<void>;
}

interface Asked {
  readonly act: () => void;
  readonly done: PromiseWithResolvers<void>;
}

/** Makes the turns. @param current the loop of the family that serves, asked at every turn */
export function createFrameTurns(current: () => Pick<FrameLoop, 'run'>): FrameTurns {
  let asked: Asked[] = [];
  let leave = new AbortController();
  let isRunning = false;

  const doAsked = (): void => {
    const now = asked;
    asked = [];
    for (const { act, done } of now) {
      try {
        done.resolve(act());
      } catch (error) {
        done.reject(error);
      }
    }
  };
  const run: Loop = async (signal) => {
    let from: Handover | undefined;
    isRunning = true;
    try {
      while (!signal.aborted) {
        doAsked();
        leave = new AbortController();
        from = await current().run(AbortSignal.any([signal, leave.signal]), from);
      }
    } finally {
      isRunning = false;
      // A loop that failed is started again, and then does it first.
      if (signal.aborted) {
        for (const { done } of asked.splice(0))
          done.reject(new AppError('conflict', 'the agent is stopping'));
      }
    }
  };
  return {
    run,
    isRunning: () => isRunning,
    between: async (act) => {
      if (!isRunning) return act();
      const done = Promise.withResolvers<void>();
      asked.push({ act, done });
      leave.abort();
      await done.promise;
    },
  };
}
