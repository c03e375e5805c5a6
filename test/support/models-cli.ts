import { spawn } from 'node:child_process';
import { join } from 'node:path';
import { text } from 'node:stream/consumers';
import { packageRoot } from '../../shared/package.ts';

const PROGRAM = join(packageRoot(), 'models/main.ts');

/** How a command ended, and what it said. */
export interface Ended {
  readonly code: number | null;
  readonly stdout: string;
  readonly stderr: string;
}

/** Runs `ofa-models` as a process of its own. */
export async function ofaModels(...args: readonly string[]): Promise<Ended> {
  return await startOfaModels(args).ended;
}

/** Starts `ofa-models`, to be sent signals. */
export function startOfaModels(args: readonly string[]) {
  const child = spawn(process.execPath, [PROGRAM, ...args], { stdio: ['ignore', 'pipe', 'pipe'] });
  const code = new Promise<number | null>((resolve, reject) => {
    child.on('error', reject);
    child.on('close', resolve);
  });
  const ended = Promise.all([code, text(child.stdout), text(child.stderr)]).then(
    ([status, stdout, stderr]): Ended => ({ code: status, stdout, stderr }),
  );
  return { child, ended };
}
