import { setImmediate as nextTurn } from 'node:timers/promises';
import { AppError } from '../../../shared/errors.ts';

/** Long work in short steps: each `next()` is one of them, and leaves no transaction open. */
export type Steps<T> = Iterator<unknown, T, undefined>;

export interface Jobs {
  /** Runs a job after those before it. Between its steps the thread does what else there is to do. */
  run<T>(start: () => Steps<T>): Promise<T>;
  /** Ends the job under way after its step, and those that wait; they fail. */
  stop(): Promise<void>;
}

/** One job at a time. */
export function createJobs(): Jobs {
  let isStopped = false;
  let last: Promise<unknown> = Promise.resolve();
  const drive = async <T>(start: () => Steps<T>): Promise<T> => {
    let steps: Steps<T> | undefined;
    for (;;) {
      await nextTurn();
      if (isStopped) {
        steps?.return?.();
        throw new AppError('system', 'the history is being closed; the job goes on at its next start');
      }
      steps ??= start();
      const { done, value } = steps.next();
      if (done === true) return value;
    }
  };
  return {
    run: (start) => {
      const job = last.then(() => drive(start));
      last = job.catch(() => undefined);
      return job;
    },
    stop: async () => {
      isStopped = true;
      await last;
    },
  };
}
