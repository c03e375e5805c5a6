import { open, readFile, unlink } from 'node:fs/promises';
import { AppError, describeError, isSystemError } from '../shared/errors.ts';

/** Held until it is disposed of. */
export type Lock = AsyncDisposable;

/**
 * Takes a lock file, so that two processes do not write the same thing. One that a killed process left is
 * taken over.
 * @param what names the thing that is locked, in errors
 * @throws AppError `conflict` naming the process that holds it, `system` when it cannot be made
 */
export async function takeLock(path: string, what: string): Promise<Lock> {
  const own = await identityOf(process.pid);
  if (!(await create(path, own))) {
    await removeStale(path, what);
    if (!(await create(path, own))) throw new AppError('conflict', `${what}: another process just took it`);
  }
  return {
    [Symbol.asyncDispose]: async () => {
      await unlink(path).catch(() => undefined);
    },
  };
}

async function create(path: string, content: string): Promise<boolean> {
  try {
    await using file = await open(path, 'wx', 0o644);
    await file.writeFile(content);
    return true;
  } catch (cause) {
    if (isSystemError(cause, 'EEXIST')) return false;
    throw new AppError('system', `${path}: cannot be made: ${describeError(cause)}`, { cause });
  }
}

async function removeStale(path: string, what: string): Promise<void> {
  const holder = await readFile(path, 'utf8').catch(() => '');
  const pid = Number(/^(\d+)\b/.exec(holder)?.[1] ?? Number.NaN);
  const isStale = !Number.isNaN(pid) && (!isAlive(pid) || (await identityOf(pid)) !== holder);
  if (!isStale) {
    const who = Number.isNaN(pid) ? 'another process' : `process ${pid}`;
    throw new AppError('conflict', `${what}: ${who} works on it; if that is not so, delete ${path}`);
  }
  await unlink(path).catch(() => undefined);
}

function isAlive(pid: number): boolean {
  try {
    process.kill(pid, 0);
    return true;
  } catch (error) {
    return !isSystemError(error, 'ESRCH');
  }
}

/**
 * The process's number and, on Linux, when it started: in a container that is started anew the same numbers
 * come again.
 */
async function identityOf(pid: number): Promise<string> {
  const stat = await readFile(`/proc/${pid}/stat`, 'utf8').catch(() => '');
  // proc(5): field 22, `starttime`; the second field, a name in brackets, may hold spaces.
  const started = stat.slice(stat.lastIndexOf(')') + 2).split(' ')[19];
  return started === undefined ? `${pid}\n` : `${pid} ${started}\n`;
}
