import { createJobs } from '../../controller/history/thread/jobs.ts';
import { serve } from '../../controller/history/thread/rpc.ts';
import { AppError } from '../../shared/errors.ts';

/** A worker for tests of calls, failures and long jobs. */
export interface TestApi {
  readonly double: (value: number) => number;
  readonly later: (value: number) => Promise<number>;
  readonly refuse: (text: string) => never;
  readonly crash: (how: 'throw' | 'exit') => void;
  /** Makes steps until `double` was called so often. */
  readonly untilDoubled: (times: number) => Promise<void>;
  /** How many steps were made so far. */
  readonly steps: () => number;
}

serve<TestApi, { readonly fails: boolean }>(({ fails }) => {
  if (fails) throw new AppError('config', 'it cannot be opened');
  const jobs = createJobs();
  let doubled = 0;
  let steps = 0;
  return {
    handlers: {
      double: (value) => {
        doubled += 1;
        return 2 * value;
      },
      later: async (value) => value,
      refuse: (text) => {
        throw new AppError('invalid', text);
      },
      crash: (how) => {
        if (how === 'exit') process.exit(3);
        setImmediate(() => {
          throw new Error('a fault');
        });
      },
      untilDoubled: (times) =>
        jobs.run(function* () {
          for (; doubled < times; steps += 1) yield;
        }),
      steps: () => steps,
    },
    close: () => jobs.stop(),
  };
});
