import { type ChildProcess, spawn } from 'node:child_process';
import { join } from 'node:path';
import { text } from 'node:stream/consumers';
import { packageRoot } from '../../../shared/package.ts';

export interface Outcome {
  readonly status: number | null;
  readonly out: string;
  readonly err: string;
}

export interface RunOptions {
  /** The user's home; nothing of the real one is seen. */
  readonly home: string;
  readonly env: NodeJS.ProcessEnv;
  readonly input?: string;
}

export interface Running {
  readonly child: ChildProcess;
  readonly ended: Promise<Outcome>;
}

/** Starts the real program as a process, with a channel to its parent. */
export function startFleet(args: readonly string[], { home, env, input = '' }: RunOptions): Running {
  const child = spawn(process.execPath, [join(packageRoot(), 'controller/main.ts'), ...args], {
    env: { PATH: process.env['PATH'], HOME: home, ...env },
    stdio: ['pipe', 'pipe', 'pipe', 'ipc'],
  });
  const { stdin, stdout, stderr } = child;
  if (stdin === null || stdout === null || stderr === null) throw new Error('the program has no streams');
  // A program that ends without reading its input is no fault of the test.
  stdin.on('error', () => undefined);
  stdin.end(input);
  const closed = new Promise<number | null>((resolve) => child.once('close', resolve));
  const ended = Promise.all([text(stdout), text(stderr), closed]).then(([out, err, status]) => ({
    status,
    out,
    err,
  }));
  return { child, ended };
}

/** Runs the real program to its end. */
export function runFleet(args: readonly string[], options: RunOptions): Promise<Outcome> {
  return startFleet(args, options).ended;
}
