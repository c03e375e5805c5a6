import { formatSheet, type OutputFormat, type Sheet } from '../../shared/cli/format.ts';
import { type Clock, systemClock } from '../../shared/clock.ts';
import { AppError } from '../../shared/errors.ts';
import { stopSignal } from '../../shared/program.ts';
import { createProgress, type Progress } from '../progress.ts';

/** What the commands have of the world around them. */
export interface Cli {
  readonly env: NodeJS.ProcessEnv;
  readonly clock: Clock;
  /** Data, to standard output. */
  readonly write: (text: string) => void;
  /** A line for people, to standard error. */
  readonly note: (line: string) => void;
  readonly print: <Row>(sheet: Sheet<Row>, format: OutputFormat) => void;
  /** Shows how far long work has come, on standard error. */
  readonly progress: (title: string) => Progress;
  /** Runs work that a signal stops: the work sees `signal` abort, and the command ends with status 6. */
  readonly stoppable: <T>(work: (signal: AbortSignal) => Promise<T>) => Promise<T>;
}

/** The commands' surroundings in this process. */
export function createCli(env: NodeJS.ProcessEnv): Cli {
  // https://no-color.org: present and not empty, whatever its value.
  const color = process.stdout.isTTY === true && !env['NO_COLOR'] && env['TERM'] !== 'dumb';
  const write = (text: string): void => {
    process.stdout.write(text);
  };
  return {
    env,
    clock: systemClock,
    write,
    note: (line) => {
      process.stderr.write(`${line}\n`);
    },
    print: (sheet, format) => write(formatSheet(sheet, { format, color })),
    progress: (title) => createProgress({ title, stream: process.stderr, clock: systemClock }),
    stoppable,
  };
}

async function stoppable<T>(work: (signal: AbortSignal) => Promise<T>): Promise<T> {
  const stopping = new AbortController();
  void stopSignal().then((cause) => {
    stopping.abort(new AppError('partial', `${cause}: stopped; the same command again goes on from here`));
  });
  return await work(stopping.signal);
}
