import { AppError } from '../../shared/errors.ts';
import { readWhole, sha256 } from '../../shared/files.ts';
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
