import { createHash } from 'node:crypto';
import { constants, type FileHandle, open } from 'node:fs/promises';
import { AppError, describeError, isSystemError } from '../errors.ts';
import { sha256 } from '../files.ts';
import { CHUNK_BYTES, MAX_BLOB_BYTES } from '../protocol/release.ts';

/** A blob by its content: as a whole, and chunk by chunk. */
export interface HashedBlob {
  /** Lower-case hexadecimal. */
  readonly sha256: string;
  readonly bytes: number;
  /** SHA-256 of every chunk of `CHUNK_BYTES`, in order. */
  readonly chunks: readonly string[];
}

/**
 * Hashes a file as a blob; it is streamed, not held in memory.
 * @throws AppError `not-found`; `invalid` when it is empty, larger than `MAX_BLOB_BYTES`, or no file; `system`
 * when it cannot be read
 */
export async function hashBlob(path: string): Promise<HashedBlob> {
  try {
    // Without waiting: a named pipe is refused, not waited for.
    await using file = await open(path, constants.O_RDONLY | constants.O_NONBLOCK);
    await checkSize(file, path);
    return await hashOf(file, path);
  } catch (cause) {
    if (cause instanceof AppError) throw cause;
    if (isSystemError(cause, 'ENOENT')) {
      throw new AppError('not-found', `${path}: there is no such file`, { cause });
    }
    throw new AppError('system', `${path}: ${describeError(cause)}`, { cause });
  }
}

async function checkSize(file: FileHandle, path: string): Promise<void> {
  const stat = await file.stat();
  if (!stat.isFile()) throw new AppError('invalid', `${path}: expected a file`);
  if (stat.size === 0) throw new AppError('invalid', `${path}: it is empty`);
  if (stat.size > MAX_BLOB_BYTES) throw tooLarge(path, stat.size);
}

async function hashOf(file: FileHandle, path: string): Promise<HashedBlob> {
  const whole = createHash('sha256');
  const chunks: string[] = [];
  const buffer = Buffer.allocUnsafe(CHUNK_BYTES);
  let bytes = 0;
  for (;;) {
    const chunk = await fill(file, buffer, bytes);
    if (chunk.length === 0) return { sha256: whole.digest('hex'), bytes, chunks };
    bytes += chunk.length;
    // It may have grown since its size was asked for.
    if (bytes > MAX_BLOB_BYTES) throw tooLarge(path, bytes);
    whole.update(chunk);
    chunks.push(sha256(chunk));
  }
}

/** As much as fits, or all that is left: a single read may give less. */
async function fill(file: FileHandle, buffer: Buffer, position: number): Promise<Buffer> {
  let filled = 0;
  while (filled < buffer.length) {
    const { bytesRead } = await file.read(buffer, filled, buffer.length - filled, position + filled);
    if (bytesRead === 0) break;
    filled += bytesRead;
  }
  return buffer.subarray(0, filled);
}

function tooLarge(path: string, bytes: number): AppError {
  return new AppError('invalid', `${path}: ${bytes} bytes, a blob has at most ${MAX_BLOB_BYTES}`);
}
