import { mkdir, open, readdir } from 'node:fs/promises';
import { dirname, join } from 'node:path';
import { AppError, isSystemError } from '../../shared/errors.ts';
import { syncFolder } from '../../shared/files.ts';
import { programPathOf } from '../../shared/release/program-file.ts';
import { readTar, type TarFile, type TarLimits } from '../../shared/tar.ts';

/**
 * Unpacks a packed program into a folder that is not there yet; all of it is on the disk when this resolves. What
 * is left after a failure is the caller's to remove.
 * @throws AppError `invalid` for anything but plain files below the folder, or more than the limits;
 * `conflict` when the folder is there; the signal's reason
 */
export async function unpackProgram(
  archive: string,
  folder: string,
  limits: TarLimits,
  signal?: AbortSignal,
): Promise<void> {
  await mkdir(folder).catch((cause: unknown) => {
    throw new AppError('conflict', `${folder}: cannot be made`, { cause });
  });
  await readTar(archive, limits, (file) => unpackFile(folder, file), signal);
  await syncFolders(folder);
}

async function unpackFile(folder: string, file: TarFile): Promise<void> {
  const path = join(folder, programPathOf(file.path));
  try {
    await mkdir(dirname(path), { recursive: true });
    // Only anew: neither a second entry of the same name nor a link is written through.
    await using target = await open(path, 'wx', file.isExecutable ? 0o755 : 0o644);
    for await (const chunk of file.content) await target.writeFile(chunk);
    await target.sync();
  } catch (cause) {
    const isTwice = ['EEXIST', 'ENOTDIR', 'EISDIR'].some((code) => isSystemError(cause, code));
    if (isTwice)
      throw new AppError('invalid', `entry ${JSON.stringify(file.path)}: is in it twice`, { cause });
    throw cause;
  }
}

/** Makes the names in a folder and in all folders below it durable; links are not followed. */
export async function syncFolders(folder: string): Promise<void> {
  for (const entry of await readdir(folder, { withFileTypes: true })) {
    if (entry.isDirectory()) await syncFolders(join(folder, entry.name));
  }
  await syncFolder(folder);
}
