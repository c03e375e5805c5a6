import { constants, type FileHandle, open } from 'node:fs/promises';
import { AppError, describeError, isSystemError } from '../../shared/errors.ts';
import { sha256 } from '../../shared/files.ts';
import type { Checkpoint } from '../ofa/checkpoint.ts';
import { parseSafetensors } from '../ofa/safetensors.ts';
import { isTorchLegacy, parseTorchLegacy } from './torch-legacy.ts';
import { parseTorchZip } from './torch-zip.ts';

export type CheckpointFormat = 'safetensors' | 'torch-zip' | 'torch-legacy';

/** A checkpoint with its form. */
export interface ParsedCheckpoint extends Checkpoint {
  readonly format: CheckpointFormat;
}

/** A checkpoint with what there is to say about its file. */
export interface CheckpointFile extends ParsedCheckpoint {
  readonly bytes: number;
  /** Of the file, in lower-case hexadecimal. */
  readonly sha256: string;
}

/** A super-network has some 50 MB. */
const DEFAULT_MAX_BYTES = 1024 ** 3;
/** A single read gives at most 2 GiB. */
const READ_BYTES = 1024 ** 3;

/**
 * Reads a file of weights: safetensors, or what torch.save writes, in its new and its old form. Nothing in
 * the file is run.
 * @param maxBytes larger files are refused
 * @throws AppError `not-found` or `system` when it cannot be read, `invalid` for what it holds
 */
export async function readCheckpoint(
  path: string,
  { maxBytes = DEFAULT_MAX_BYTES }: { readonly maxBytes?: number } = {},
): Promise<CheckpointFile> {
  const bytes = await readWhole(path, maxBytes);
  return { ...parseCheckpoint(bytes, path), bytes: bytes.length, sha256: sha256(bytes) };
}

/**
 * Reads the bytes of a file of weights; the first ones say its form.
 * @param what names the file in messages
 * @throws AppError `invalid` naming what does not fit
 */
export function parseCheckpoint(bytes: Uint8Array, what: string): ParsedCheckpoint {
  if (isZip(bytes)) return { ...parseTorchZip(bytes, what), format: 'torch-zip' };
  if (isTorchLegacy(bytes)) return { ...parseTorchLegacy(bytes, what), format: 'torch-legacy' };
  if (bytes[8] === 0x7b) return { ...parseSafetensors(bytes, what), format: 'safetensors' };
  throw new AppError('invalid', `${what}: expected a safetensors file or one that torch.save has written`);
}

function isZip(bytes: Uint8Array): boolean {
  return [0x50, 0x4b, 0x03, 0x04].every((byte, index) => bytes[index] === byte);
}

async function readWhole(path: string, maxBytes: number): Promise<Uint8Array> {
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

/** The size is taken once: a file that grows or is a pipe must not fill the memory. */
async function readFrom(file: FileHandle, path: string, maxBytes: number): Promise<Uint8Array> {
  const stat = await file.stat();
  if (!stat.isFile()) throw new AppError('invalid', `${path}: expected a file`);
  if (stat.size > maxBytes) {
    throw new AppError('invalid', `${path}: the file has ${stat.size} bytes, expected at most ${maxBytes}`);
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
