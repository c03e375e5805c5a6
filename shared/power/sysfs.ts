import { readdir, readFile } from 'node:fs/promises';
import { join } from 'node:path';
import { AppError, describeError } from '../errors.ts';

/** Paths of a folder's entries whose names match, in the order of names; none where it cannot be read. */
export async function entriesMatching(folder: string, pattern: RegExp): Promise<string[]> {
  const names = await readdir(folder).catch((): string[] => []);
  return names
    .filter((name) => pattern.test(name))
    .sort()
    .map((name) => join(folder, name));
}

/** The trimmed text of a file of sysfs; undefined where it is absent or refuses to be read. */
export async function readText(path: string): Promise<string | undefined> {
  const text = await readFile(path, 'utf8').catch(() => undefined);
  return text?.trim();
}

/**
 * The whole number that a file of sysfs holds.
 * @throws AppError `system` when it cannot be read or holds something else
 */
export async function readInteger(path: string): Promise<number> {
  const text = await readFile(path, 'utf8').catch((cause: unknown) => {
    throw new AppError('system', `${path}: cannot be read: ${describeError(cause)}`, { cause });
  });
  if (/^-?\d{1,15}$/.test(text.trim())) return Number(text);
  throw new AppError('system', `${path}: holds "${text.trim().slice(0, 40)}", expected a whole number`);
}
