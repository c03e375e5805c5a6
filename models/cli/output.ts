import { constants } from 'node:fs';
import { access, stat } from 'node:fs/promises';
import { dirname, resolve } from 'node:path';
import { AppError, describeError } from '../../shared/errors.ts';
import { writeAtomic } from '../../shared/files.ts';

/**
 * Refuses files that could not be written, before long work is done for them.
 * @param paths those that are not given are passed over
 * @throws AppError `config` naming the file and what is in its way
 */
export async function checkOutputs(...paths: readonly (string | undefined)[]): Promise<void> {
  for (const path of paths) {
    if (path !== undefined) await checkOutput(path);
  }
}

async function checkOutput(path: string): Promise<void> {
  const found = await stat(path).catch(() => undefined);
  if (found?.isDirectory() === true) throw new AppError('config', `${path}: it is a folder, name a file`);
  const folder = dirname(resolve(path));
  await access(folder, constants.W_OK | constants.X_OK).catch((cause: unknown) => {
    throw new AppError('config', `${path}: nothing can be written in ${folder}`, { cause });
  });
}

/**
 * Writes what a command was asked to make.
 * @throws AppError `system` naming the file
 */
export async function writeOutput(path: string, data: Uint8Array | string): Promise<void> {
  await writeAtomic(path, data).catch((cause: unknown) => {
    throw new AppError('system', `${path}: cannot be written: ${describeError(cause)}`, { cause });
  });
}
