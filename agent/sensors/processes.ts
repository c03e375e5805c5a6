import { execFile, spawn } from 'node:child_process';
import { promisify } from 'node:util';

/** Runs a program to its end and gives what it printed. @throws when it fails or takes too long */
export type Exec = (file: string, args: readonly string[], timeoutMs: number) => Promise<string>;

/** A program that runs until it is killed. */
export interface Child {
  /** What it prints; ends when the program has ended, also when it could not be started. */
  readonly output: AsyncIterable<string>;
  kill(): void;
}

export type Spawn = (file: string, args: readonly string[]) => Child;

/** No tool that is asked prints more. */
const MAX_OUTPUT_BYTES = 64 * 1_024;

/** Runs programs of this machine. */
export const execProgram: Exec = async (file, args, timeoutMs) => {
  const { stdout } = await promisify(execFile)(file, [...args], {
    timeout: timeoutMs,
    killSignal: 'SIGKILL',
    maxBuffer: MAX_OUTPUT_BYTES,
  });
  return stdout;
};

/** Starts programs of this machine. */
export const spawnProgram: Spawn = (file, args) => {
  const child = spawn(file, [...args], { stdio: ['ignore', 'pipe', 'ignore'] });
  // One that was never started ends its output too; that is how it is noticed.
  child.on('error', () => undefined);
  return {
    output: child.stdout.setEncoding('utf8'),
    kill: () => {
      child.kill('SIGKILL');
    },
  };
};
