import { promisify } from 'node:util';
import { gunzip } from 'node:zlib';
import { AppError, describeError } from '../errors.ts';
import { readWhole } from '../files.ts';

/** What a packed file may unpack to: a small file must not fill the memory. */
const MAX_UNPACKED_BYTES = 1024 * 1024 * 1024;

/**
 * Reads a file, unpacked when it is gzip by its first bytes, whatever its name.
 * @throws AppError `not-found` or `system` when it cannot be read, `invalid` when it cannot be unpacked
 */
export async function readMaybeGzip(path: string): Promise<Uint8Array> {
  const bytes = await readWhole(path, MAX_UNPACKED_BYTES);
  if (bytes[0] !== 0x1f || bytes[1] !== 0x8b) return bytes;
  try {
    return await promisify(gunzip)(bytes, { maxOutputLength: MAX_UNPACKED_BYTES });
  } catch (cause) {
    throw new AppError('invalid', `${path}: cannot be unpacked: ${describeError(cause)}`, { cause });
  }
}
