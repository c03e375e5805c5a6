import { readdir, readFile } from 'node:fs/promises';
import { createServer } from 'node:net';
import type { Clock } from '../../shared/clock.ts';
import { AppError, isSystemError } from '../../shared/errors.ts';
import { sha256 } from '../../shared/files.ts';
import { LAUNCHED_STATE } from '../slots/messages.ts';

/** A program whose launcher was killed ends by itself, in good order; one that hangs is killed after this. */
const ORPHAN_MS = 20_000;
const POLL_MS = 50;

/**
 * Lets only one launcher run for a state folder. The lock is a name that the kernel frees when the process is gone,
 * however it went; where there are no such names, the lock on the agent's database has to do.
 * @param folder real path of the state folder
 * @throws AppError `conflict` when another launcher holds it
 */
export async function lockLauncher(folder: string): Promise<AsyncDisposable> {
  if (process.platform !== 'linux') return { [Symbol.asyncDispose]: async () => undefined };
  const server = createServer((socket) => socket.destroy());
  const held = Promise.withResolvers<void>();
  server.on('error', (cause) => {
    const isHeld = isSystemError(cause, 'EADDRINUSE');
    const text = isHeld ? 'another launcher runs there; stop that one first' : 'cannot be locked';
    held.reject(new AppError(isHeld ? 'conflict' : 'system', `${folder}: ${text}`, { cause }));
  });
  // A name of a socket has at most 107 bytes; a path may be longer.
  server.listen(`\0ofa-agent-launch:${sha256(folder)}`, () => held.resolve());
  await held.promise;
  server.unref();
  return {
    [Symbol.asyncDispose]: () => new Promise((resolve) => server.close(() => resolve())),
  };
}

/**
 * Waits until no program of an earlier launcher of this folder runs any more: two never run at once. They are known
 * by their environment, so that there is no record which could be wrong, and no number of a process that has become
 * another's.
 */
export async function awaitOrphans(folder: string, clock: Clock, say: (text: string) => void): Promise<void> {
  const startedMs = clock.monoMs();
  let isSaid = false;
  for (;;) {
    const orphans = await findOrphans(folder);
    if (orphans.length === 0) return;
    if (!isSaid)
      say(`waiting for the end of the program of an earlier launcher (process ${orphans.join(', ')})`);
    isSaid = true;
    if (clock.monoMs() - startedMs > ORPHAN_MS) for (const pid of orphans) kill(pid);
    await clock.sleep(POLL_MS);
  }
}

async function findOrphans(folder: string): Promise<number[]> {
  const names = await readdir('/proc').catch(() => []);
  const marker = `${LAUNCHED_STATE}=${folder}`;
  const pids = names.filter((name) => /^\d+$/.test(name)).map(Number);
  const found = await Promise.all(pids.map((pid) => hasInEnvironment(pid, marker)));
  return pids.filter((pid, index) => pid !== process.pid && found[index] === true);
}

/** Of other users' processes nothing is told; they are not ours. */
async function hasInEnvironment(pid: number, entry: string): Promise<boolean> {
  const environment = await readFile(`/proc/${pid}/environ`, 'latin1').catch(() => '');
  return environment.split('\0').includes(Buffer.from(entry).toString('latin1'));
}

function kill(pid: number): void {
  try {
    process.kill(pid, 'SIGKILL');
  } catch (error) {
    if (!isSystemError(error, 'ESRCH')) throw error;
  }
}
