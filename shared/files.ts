import { createHash, randomUUID } from 'node:crypto';
import { createReadStream, existsSync, mkdirSync, statSync } from 'node:fs';
import { constants, type FileHandle, open, rename, unlink } from 'node:fs/promises';
import { dirname, resolve } from 'node:path';
import { pipeline } from 'node:stream/promises';
import { AppError, describeError, isSystemError } from './errors.ts';

/** SHA-256 of a file's bytes, as lower-case hexadecimal; the file is streamed, not held in memory. */
export async function sha256OfFile(path: string): Promise<string> {
  const hash = createHash('sha256');
  await pipeline(createReadStream(path), hash);
  return hash.digest('hex');
}

/** SHA-256 of bytes or text, as lower-case hexadecimal. */
export function sha256(data: Uint8Array | string): string {
  return createHash('sha256').update(data).digest('hex');
}

/** A single read gives at most 2 GiB. */
const READ_BYTES = 1024 ** 3;

/**
 * Reads a file as a whole.
 * @param maxBytes a larger one is refused, before it is read into memory
 * @throws AppError `not-found`, `system` when it cannot be read, `invalid` when it is larger, or no file: a
 * device or a pipe has no end
 */
export async function readWhole(path: string, maxBytes: number): Promise<Uint8Array> {
  try {
    // Without waiting: a named pipe is refused, not waited for.
    await using file = await open(path, constants.O_RDONLY | constants.O_NONBLOCK);
    return await readFrom(file, path, maxBytes);
  } catch (cause) {
    if (cause instanceof AppError) throw cause;
    if (isSystemError(cause, 'ENOENT')) {
      throw new AppError('not-found', `${path}: there is no such file`, { cause });
    }
    throw new AppError('system', `${path}: ${describeError(cause)}`, { cause });
  }
}

/** The size is taken once: a file that grows must not fill the memory. */
async function readFrom(file: FileHandle, path: string, maxBytes: number): Promise<Uint8Array> {
  const stat = await file.stat();
  if (!stat.isFile()) throw new AppError('invalid', `${path}: expected a file`);
  if (stat.size > maxBytes) {
    throw new AppError('invalid', `${path}: ${stat.size} bytes, at most ${maxBytes} are read`);
  }
  const bytes = new Uint8Array(stat.size);
  let filled = 0;
  while (filled < bytes.length) {
    const { bytesRead } = await file.read(bytes, filled, Math.min(READ_BYTES, bytes.length - filled), filled);
    if (bytesRead === 0) throw new AppError('invalid', `${path}: the file became shorter while it was read`);
    filled += bytesRead;
  }
  return bytes;
}

/**
 * Makes the folder of a program's state, with the folders above it.
 * @throws AppError `config` when it cannot be made, or something else has its name
 */
export function makeStateFolder(path: string, mode: number): void {
  try {
    makeLevels(resolve(path), mode);
  } catch (cause) {
    throw new AppError('config', `state folder ${path}: it cannot be made; name another with --state`, {
      cause,
    });
  }
}

/** Level by level: Node's own recursive form turns for ever where a folder cannot have children (/proc). */
function makeLevels(path: string, mode: number): void {
  try {
    mkdirSync(path, { mode });
  } catch (error) {
    if (isSystemError(error, 'EEXIST') && statSync(path).isDirectory()) return;
    if (!isSystemError(error, 'ENOENT') || existsSync(dirname(path))) throw error;
    makeLevels(dirname(path), mode);
    mkdirSync(path, { mode });
  }
}

/** Makes sure that names which were given or taken in a folder outlive a power cut. */
export async function syncFolder(path: string): Promise<void> {
  await using folder = await open(path, 'r');
  await folder.sync();
}

/**
 * Writes a file so that after a crash or power cut either the old or the new content is there, whole:
 * temporary file in the same folder, fsync, rename, fsync of the folder.
 */
export async function writeAtomic(path: string, data: Uint8Array | string, mode = 0o644): Promise<void> {
  // Two writes of one file may be under way at once: each has a temporary file of its own.
  const temporary = `${path}.${randomUUID()}.tmp`;
  try {
    await writeSynced(temporary, data, mode);
    await rename(temporary, path);
  } catch (error) {
    await unlink(temporary).catch(() => undefined);
    throw error;
  }
  await syncFolder(dirname(path));
}

async function writeSynced(path: string, data: Uint8Array | string, mode: number): Promise<void> {
  await using file = await open(path, 'wx', mode);
  await file.writeFile(data);
  await file.sync();
}
