import { type Command, CommanderError } from 'commander';
import type { Clock } from './clock.ts';
import { AppError, describeError, exitCodeOf, isSystemError } from './errors.ts';

const EXIT_USAGE = 2;
/** Time that a program which was told to stop has for an orderly end. */
const DISPOSE_MS = 10_000;

export interface Program {
  /** What people type; it stands before every message. */
  readonly name: string;
  readonly build: () => Command | Promise<Command>;
}

/**
 * Runs a program's command and turns whatever it throws into one line on standard error and an exit
 * status. The only place where errors become text for a terminal.
 * @returns the exit status, once all output has been handed to the operating system
 */
export async function runProgram({ name, build }: Program): Promise<number> {
  const output = watchOutput();
  const status = await outcome(name, async () => {
    const command = await build();
    prepare(command);
    await command.parseAsync();
  });
  // A full disk is worth a word only where all else went well.
  return status === 0 ? outcome(name, output.flush) : status;
}

async function outcome(name: string, work: () => Promise<void>): Promise<number> {
  try {
    await work();
    return 0;
  } catch (error) {
    return report(name, error);
  }
}

/** Commander must neither print its errors nor end the process: both are done here. */
function prepare(command: Command): void {
  command.exitOverride().configureOutput({ outputError: () => undefined });
  for (const child of command.commands) prepare(child);
}

function report(name: string, error: unknown): number {
  const say = (text: string): void => {
    process.stderr.write(`${name}: ${text}\n`);
  };
  if (error instanceof CommanderError) {
    if (error.exitCode === 0) return 0;
    // `commander.help`: a command without its subcommand; the help that it printed says all.
    if (error.code !== 'commander.help') say(oneLine(error.message.replace(/^error: /, '')));
    return EXIT_USAGE;
  }
  const debug = process.env['OFA_DEBUG'] === '1';
  const hint = error instanceof AppError || debug ? '' : ' (a fault of the program; OFA_DEBUG=1 shows where)';
  say(`${oneLine(describeError(error))}${hint}`);
  if (debug && error instanceof Error) process.stderr.write(`${error.stack ?? ''}\n`);
  return exitCodeOf(error);
}

function oneLine(text: string): string {
  return text.trim().replaceAll(/\s*\n\s*/g, ' ');
}

/** Follows standard output: a reader that has left (`| head`) is no error, a full disk is one. */
function watchOutput(): { flush: () => Promise<void> } {
  let failure: Error | undefined;
  process.stdout.on('error', (error) => {
    if (!isSystemError(error, 'EPIPE')) failure = error;
  });
  process.stderr.on('error', () => undefined);
  return {
    flush: async () => {
      await new Promise<void>((resolve) => process.stdout.write('', () => resolve()));
      if (failure !== undefined) throw new AppError('system', 'standard output', { cause: failure });
    },
  };
}

/**
 * Resolves with what asks this process to stop: a signal, or the end of the process that started it and
 * listens to it. From then on a second signal ends it at once, as signals do by default.
 */
export function stopSignal(): Promise<NodeJS.Signals | 'disconnect'> {
  return new Promise((resolve) => {
    const causes = ['SIGINT', 'SIGTERM'] as const;
    const stop = (cause: NodeJS.Signals): void => {
      for (const each of causes) process.off(each, stop);
      resolve(cause);
    };
    for (const each of causes) process.on(each, stop);
    process.once('disconnect', () => resolve('disconnect'));
  });
}

/**
 * Disposes of a program's parts, in a bounded time.
 * @throws AppError `timeout` when they do not end within it
 */
export async function disposeInTime(parts: AsyncDisposable, clock: Clock): Promise<void> {
  const waiting = new AbortController();
  const late = clock.sleep(DISPOSE_MS, waiting.signal).then(() => {
    throw new AppError('timeout', `did not stop within ${DISPOSE_MS / 1_000} s; ended the hard way`);
  });
  try {
    await Promise.race([parts[Symbol.asyncDispose](), late]);
  } finally {
    late.catch(() => undefined);
    waiting.abort();
  }
}

/** Tells the process that started this one, if it listens, that it is ready and where. */
export function tellParent(message: Readonly<Record<string, unknown>>): void {
  process.send?.(message);
}
