import { constants, open, readdir } from 'node:fs/promises';
import { join } from 'node:path';
import { AppError, describeError } from '../errors.ts';

/** More than any file of one value holds; what is beyond it is not read. */
const HEAD_BYTES = 4_096;

/**
 * The first bytes of a file, as text. What has no end (a device) costs no more than `maxBytes`, and a pipe
 * without a writer is not waited for.
 * @throws the error of the operating system
 */
export async function readHead(path: string, maxBytes = HEAD_BYTES): Promise<string> {
  await using file = await open(path, constants.O_RDONLY | constants.O_NONBLOCK);
  const { buffer, bytesRead } = await file.read(Buffer.alloc(maxBytes), 0, maxBytes, 0);
  return buffer.toString('utf8', 0, bytesRead);
}

/** Paths of a folder's entries whose names match, in the order of names; none where it cannot be read. */
export async function entriesMatching(folder: string, pattern: RegExp): Promise<string[]> {
  const names = await readdir(folder).catch((): string[] => []);
  return names
    .filter((name) => pattern.test(name))
    .sort()
    .map((name) => join(folder, name));
}

/**
 * The trimmed text of a file of sysfs (its first 4 KiB), without the zero that ends texts of the device tree;
 * undefined where it is absent or refuses to be read.
 */
export async function readText(path: string): Promise<string | undefined> {
  const text = await readHead(path).catch(() => undefined);
  return text?.replaceAll('\0', '').trim();
}

/**
 * The whole number that a file of sysfs holds.
 * @throws AppError `system` when it cannot be read or holds something else
 */
export async function readInteger(path: string): Promise<number> {
  const text = await readHead(path).catch((cause: unknown) => {
    throw new AppError('system', `${path}: cannot be read: ${describeError(cause)}`, { cause });
  });
  if (/^-?\d{1,15}$/.test(text.trim())) return Number(text);
  throw new AppError('system', `${path}: holds "${text.trim().slice(0, 40)}", expected a whole number`);
}

/** Like `readInteger`, where the file need not be there. */
export async function readOptionalInteger(path: string): Promise<number | undefined> {
  return await readInteger(path).catch(() => undefined);
}
