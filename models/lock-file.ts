import { randomUUID } from 'node:crypto';
import { constants, copyFile, link, readFile, rename, unlink, writeFile } from 'node:fs/promises';
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
  if (!(await create(path, own)) && !(await takeOver(path, own, what))) {
    throw new AppError('conflict', `${what}: another process just took it`);
  }
  return {
    [Symbol.asyncDispose]: async () => await discard(path),
  };
}

/** The file is never there without its content: a lock that says nothing is nobody's, and would stay. */
async function create(path: string, content: string): Promise<boolean> {
  const filled = besides(path);
  try {
    await writeFile(filled, content, { flag: 'wx', mode: 0o644 });
    return await place(filled, path);
  } catch (cause) {
    throw new AppError('system', `${path}: cannot be made: ${describeError(cause)}`, { cause });
  } finally {
    await discard(filled);
  }
}

/** Gives a file a second name, unless something has it. */
async function place(file: string, name: string): Promise<boolean> {
  try {
    await link(file, name).catch(async (error: unknown) => {
      if (isSystemError(error, 'EEXIST')) throw error;
      // File systems of memory cards have no second names.
      await copyFile(file, name, constants.COPYFILE_EXCL);
    });
    return true;
  } catch (cause) {
    if (isSystemError(cause, 'EEXIST')) return false;
    throw cause;
  }
}

function besides(path: string): string {
  return `${path}.${randomUUID()}.tmp`;
}

async function discard(path: string): Promise<void> {
  await unlink(path).catch(() => undefined);
}

/**
 * Puts a lock in the place of one that a killed process left. Only who holds a second lock may remove one:
 * else what is removed may be the lock that another process has just put there.
 */
async function takeOver(path: string, own: string, what: string): Promise<boolean> {
  await refuseHeld(path, what);
  const guard = `${path}.takeover`;
  const isOurs = (await create(guard, own)) || ((await removeStale(guard)) && (await create(guard, own)));
  if (!isOurs) return false;
  try {
    await refuseHeld(path, what);
    await discard(path);
    return await create(path, own);
  } finally {
    await discard(guard);
  }
}

/** @throws AppError `conflict` unless the lock was left by a process that is gone, or is gone itself */
async function refuseHeld(path: string, what: string): Promise<void> {
  const holder = await holderOf(path);
  if (holder === undefined || (await isGone(holder))) return;
  const pid = pidOf(holder);
  const who = pid === undefined ? 'another process' : `process ${pid}`;
  throw new AppError('conflict', `${what}: ${who} works on it; if that is not so, delete ${path}`);
}

/** A process was killed while it took over: taken away under another name, and put back if it was another's. */
async function removeStale(guard: string): Promise<boolean> {
  const holder = await holderOf(guard);
  if (holder === undefined || !(await isGone(holder))) return false;
  const away = besides(guard);
  const taken = await rename(guard, away).then(
    () => true,
    () => false,
  );
  if (!taken) return false;
  const isStale = (await holderOf(away)) === holder;
  if (!isStale) await place(away, guard);
  await discard(away);
  return isStale;
}

/** What a lock says; undefined when there is none. */
async function holderOf(path: string): Promise<string | undefined> {
  return await readFile(path, 'utf8').catch((error: unknown) =>
    isSystemError(error, 'ENOENT') ? undefined : '',
  );
}

function pidOf(holder: string): number | undefined {
  const [, digits] = /^(\d+)\b/.exec(holder) ?? [];
  return digits === undefined ? undefined : Number(digits);
}

async function isGone(holder: string): Promise<boolean> {
  const pid = pidOf(holder);
  return pid !== undefined && (!isAlive(pid) || (await identityOf(pid)) !== holder);
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
