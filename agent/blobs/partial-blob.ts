import { AppError, describeError, isSystemError } from '../../shared/errors.ts';
import {
  type ChunkRange,
  MAX_BLOB_BYTES,
  MAX_RELEASE_BYTES,
  SHA256_PATTERN,
} from '../../shared/protocol/release.ts';
import { chunkCountOf } from '../../shared/release/manifest.ts';

/** A file by its content. */
export interface BlobRef {
  readonly sha256: string;
  readonly bytes: number;
  /**
   * SHA-256 of every chunk, in order. Without them it is a small blob, checked as a whole only: it is held in
   * memory until it is whole.
   */
  readonly chunks?: readonly string[];
}

/** What a chunk was: `known` one was there already, a `wrong` one is not of this blob. */
export type Written = 'stored' | 'known' | 'wrong';

/** A blob of which a part is there. Disposing it leaves on disk what has been stored. */
export interface PartialBlob extends AsyncDisposable {
  /** Bytes of the chunks that are there. */
  readonly doneBytes: number;
  readonly isComplete: boolean;
  /** The first runs of missing chunks, at most as many as one `want` takes. */
  missing(): ChunkRange[];
  /**
   * Checks a chunk and stores it; whatever the caller hands over is safe.
   * @param bytes may be used again once this resolves
   * @throws AppError `system` when the disk does not take it, which leaves the rest as it was
   */
  write(n: number, bytes: Uint8Array): Promise<Written>;
  /**
   * Checks the whole and gives it its name.
   * @throws AppError `invalid` when the content is not that of its name: all of it is missing again; `system`
   * when the disk fails, which leaves it complete
   */
  finish(): Promise<void>;
}

const SHA256 = new RegExp(SHA256_PATTERN);

/** A content's hash becomes the name of a file. @throws AppError `invalid` when it is none */
export function checkSha256(sha256: string): void {
  if (!SHA256.test(sha256)) {
    throw new AppError('invalid', `blob ${JSON.stringify(sha256.slice(0, 80))}: expected a SHA-256`);
  }
}

/** @throws AppError `invalid` when the parts of a reference contradict each other, or it is too large */
export function checkBlobRef({ sha256, bytes, chunks }: BlobRef): void {
  checkSha256(sha256);
  const most = chunks === undefined ? MAX_RELEASE_BYTES : MAX_BLOB_BYTES;
  if (!Number.isInteger(bytes) || bytes < 1 || bytes > most) {
    throw new AppError('invalid', `blob ${sha256}: ${bytes} bytes, expected 1 to ${most}`);
  }
  if (chunks !== undefined && chunks.length !== chunkCountOf(bytes)) {
    throw new AppError('invalid', `blob ${sha256}: ${chunks.length} chunk hashes for ${bytes} bytes`);
  }
}

/** Turns what the file system threw into an `AppError` of code `system` that says whether the disk is full. */
export function diskError(path: string, cause: unknown): AppError {
  if (cause instanceof AppError) return cause;
  const isFull = isSystemError(cause, 'ENOSPC') || isSystemError(cause, 'EDQUOT');
  return new AppError('system', `${path}: ${isFull ? 'no space left on the disk' : describeError(cause)}`, {
    cause,
  });
}

/** The error of a blob whose content is not that of its name. */
export function wrongContent({ sha256, bytes }: BlobRef, found: string): AppError {
  return new AppError('invalid', `blob ${sha256}: the ${bytes} bytes that came have SHA-256 ${found}`);
}
