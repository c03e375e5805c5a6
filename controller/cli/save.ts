import { randomUUID } from 'node:crypto';
import type { Stats } from 'node:fs';
import { open, rename, rm, stat } from 'node:fs/promises';
import { basename, dirname, join } from 'node:path';
import { AppError, describeError, isSystemError } from '../../shared/errors.ts';
import type { Body } from './stream.ts';

/**
 * Refuses a place that a file cannot be written to.
 * @throws AppError `conflict` when there is one already, unless it may be replaced, or something else than
 * a file; `system` when its folder is not there
 */
export async function checkPlace(path: string, mayReplace: boolean): Promise<void> {
  const there = await statOf(path);
  if (there !== undefined && !there.isFile()) throw new AppError('conflict', `${path} is not a file`);
  if (there !== undefined && !mayReplace) {
    throw new AppError('conflict', `${path} is there already; --force replaces it`);
  }
  if ((await statOf(dirname(path))) === undefined)
    throw new AppError('system', `${path}: its folder is not there`);
}

/** @throws AppError `system` when not even that can be found out */
async function statOf(path: string): Promise<Stats | undefined> {
  try {
    return await stat(path);
  } catch (cause) {
    if (isSystemError(cause, 'ENOENT')) return undefined;
    throw new AppError('system', path, { cause });
  }
}

/**
 * Writes what comes to a file, which is there only when all of it is: until then it has another name beside
 * it, and that is removed when something fails.
 * @returns its size, bytes
 * @throws AppError with the code of what failed, `system` where it was the file
 */
export async function saveStream(path: string, body: Body): Promise<number> {
  const temporary = join(dirname(path), `.${basename(path)}.${randomUUID()}.tmp`);
  try {
    const bytes = await write(temporary, body);
    await rename(temporary, path);
    return bytes;
  } catch (error) {
    await rm(temporary, { force: true });
    const code = error instanceof AppError ? error.code : 'system';
    throw new AppError(code, `${path} was not written: ${describeError(error)}`, { cause: error });
  }
}

async function write(path: string, body: Body): Promise<number> {
  await using file = await open(path, 'wx', 0o644);
  await file.writeFile(body);
  await file.sync();
  return (await file.stat()).size;
}
