import { type ChildProcess, fork } from 'node:child_process';
import { once } from 'node:events';
import { closeSync, openSync, readFileSync } from 'node:fs';
import { fileURLToPath } from 'node:url';
import { AppError } from '../../shared/errors.ts';

export interface ProgramStart {
  /** Entry module of the program. */
  readonly module: URL;
  readonly args: readonly string[];
  /** File that takes what it writes, added to what is there. */
  readonly logFile: string;
}

/** A program of the fleet as a process of its own. */
export interface RunningProgram {
  /** What it told when it was ready. */
  readonly ready: Readonly<Record<string, unknown>>;
  /** Resolves when it has ended for whatever reason. */
  readonly ended: Promise<void>;
  /** Asks it to stop, and waits until it has. */
  stop(): Promise<void>;
}

const START_TIMEOUT_MS = 60_000;
const STOP_TIMEOUT_MS = 20_000;

/**
 * Starts a program and waits until it says that it is ready. It is in a process group of its own, so that
 * Ctrl-C reaches this process only, which then stops everything in the right order; when this process dies
 * the program ends by itself, because its channel closes.
 * @throws AppError with the last line that it wrote when it ends before it is ready
 */
export async function startProgram({ module, args, logFile }: ProgramStart): Promise<RunningProgram> {
  const log = openSync(logFile, 'a');
  const child = fork(fileURLToPath(module), [...args], {
    detached: true,
    stdio: ['ignore', log, log, 'ipc'],
  });
  closeSync(log);
  const ended = once(child, 'exit').then(() => undefined);
  const ready = await Promise.race([readiness(child), ended, after(START_TIMEOUT_MS)]);
  if (typeof ready === 'object') return { ready, ended, stop: () => stopChild(child, ended) };
  child.kill('SIGKILL');
  throw new AppError('system', `${args[0]} did not start: ${lastLine(logFile)} (all of it is in ${logFile})`);
}

function readiness(child: ChildProcess): Promise<Readonly<Record<string, unknown>>> {
  return new Promise((resolve) => {
    child.on('message', (message) => {
      if (typeof message === 'object' && 'type' in message && message.type === 'ready')
        resolve({ ...message });
    });
  });
}

function after(ms: number): Promise<undefined> {
  return new Promise((resolve) => {
    setTimeout(() => resolve(undefined), ms).unref();
  });
}

async function stopChild(child: ChildProcess, ended: Promise<void>): Promise<void> {
  child.kill('SIGTERM');
  const late = await Promise.race([ended.then(() => false), after(STOP_TIMEOUT_MS).then(() => true)]);
  if (late) child.kill('SIGKILL');
  await ended;
}

function lastLine(path: string): string {
  return readFileSync(path, 'utf8').trim().split('\n').at(-1) ?? '';
}
