import { createTerminal, type Terminal } from '../../shared/cli/terminal.ts';
import { type Clock, systemClock } from '../../shared/clock.ts';
import { stopSignal } from '../../shared/program.ts';
import { createProgress, type Progress } from '../progress.ts';
import { Stopped } from './work.ts';

/** What the commands have of the world around them. */
export interface Cli extends Terminal {
  readonly env: NodeJS.ProcessEnv;
  readonly clock: Clock;
  /** Shows how far long work has come, on standard error. */
  readonly progress: (title: string) => Progress;
  /**
   * Runs work that a signal stops: the work sees `signal` abort with `Stopped`, and the command ends with
   * status 6. Nothing is kept of it but what `withWork` keeps.
   */
  readonly stoppable: <T>(work: (signal: AbortSignal) => Promise<T>) => Promise<T>;
}

/** The commands' surroundings in this process. */
export function createCli(env: NodeJS.ProcessEnv): Cli {
  return {
    ...createTerminal(env),
    env,
    clock: systemClock,
    progress: (title) => createProgress({ title, stream: process.stderr, clock: systemClock }),
    stoppable,
  };
}

async function stoppable<T>(work: (signal: AbortSignal) => Promise<T>): Promise<T> {
  const stopping = new AbortController();
  void stopSignal().then((cause) => {
    stopping.abort(new Stopped(cause));
  });
  return await work(stopping.signal);
}
