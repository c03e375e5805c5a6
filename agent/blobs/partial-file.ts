import { createHash } from 'node:crypto';
import { type FileHandle, open, rename, rm } from 'node:fs/promises';
import { type ChunkSet, chunkLengthOf, createChunkSet } from '../../shared/chunk-ranges.ts';
import { AppError, isSystemError } from '../../shared/errors.ts';
import { sha256, syncFolder } from '../../shared/files.ts';
import { CHUNK_BYTES, type ChunkRange, MAX_WANTED_RANGES } from '../../shared/protocol/release.ts';
import type { FileHandles } from './file-handles.ts';
import { type BlobRef, diskError, type PartialBlob, type Written, wrongContent } from './partial-blob.ts';

export interface PartialPaths {
  readonly folder: string;
  readonly part: string;
  readonly whole: string;
}

/** A blob with the hashes of its chunks. */
export type ChunkedRef = BlobRef & { readonly chunks: readonly string[] };

/**
 * Opens a blob that comes chunk by chunk into a file. What an earlier run has left in that file is hashed
 * again, so that nothing but the bytes themselves says which chunks are there.
 * @throws AppError `system` when the file cannot be read
 */
export async function openPartialFile(
  paths: PartialPaths,
  ref: ChunkedRef,
  handles: FileHandles,
): Promise<PartialBlob> {
  const missing = createChunkSet();
  missing.add([0, ref.chunks.length - 1]);
  try {
    await removeKnown(paths.part, ref, missing);
  } catch (error) {
    if (!isSystemError(error, 'ENOENT')) throw diskError(paths.part, error);
  }
  return new PartialFile(paths, { ref, missing, handles });
}

/** What is hashed at once: a fifth of a millisecond of work. */
const HASH_BYTES = 256 * 1024;
/** Chunks that are read at once when a file is resumed. */
const SCAN_CHUNKS = 16;

async function removeKnown(path: string, ref: ChunkedRef, missing: ChunkSet): Promise<void> {
  await using file = await open(path, 'r+');
  const { size } = await file.stat();
  if (size > ref.bytes) await file.truncate(ref.bytes);
  const buffer = new Uint8Array(SCAN_CHUNKS * CHUNK_BYTES);
  const end = Math.min(size, ref.bytes);
  for (let offset = 0; offset < end; offset += buffer.length) {
    const filled = await fill(file, buffer, offset);
    for (let at = 0; at < filled; at += CHUNK_BYTES) {
      const n = (offset + at) / CHUNK_BYTES;
      const bytes = buffer.subarray(at, Math.min(filled, at + chunkLengthOf(ref.bytes, n)));
      if (sha256(bytes) === ref.chunks[n]) missing.remove([n, n]);
    }
  }
}

async function fill(file: FileHandle, buffer: Uint8Array, offset: number): Promise<number> {
  let filled = 0;
  while (filled < buffer.length) {
    const { bytesRead } = await file.read(buffer, filled, buffer.length - filled, offset + filled);
    if (bytesRead === 0) break;
    filled += bytesRead;
  }
  return filled;
}

interface PartialState {
  readonly ref: ChunkedRef;
  readonly missing: ChunkSet;
  readonly handles: FileHandles;
}

class PartialFile implements PartialBlob {
  readonly #paths: PartialPaths;
  readonly #ref: ChunkedRef;
  readonly #missing: ChunkSet;
  readonly #handles: FileHandles;
  readonly #writing = createChunkSet();

  constructor(paths: PartialPaths, { ref, missing, handles }: PartialState) {
    this.#paths = paths;
    this.#ref = ref;
    this.#missing = missing;
    this.#handles = handles;
  }

  get isComplete(): boolean {
    return this.#missing.size === 0;
  }

  get doneBytes(): number {
    const last = this.#ref.chunks.length - 1;
    const missingBytes = this.#missing.size * CHUNK_BYTES;
    const short = this.#missing.has(last) ? CHUNK_BYTES - chunkLengthOf(this.#ref.bytes, last) : 0;
    return this.#ref.bytes - missingBytes + short;
  }

  missing(): ChunkRange[] {
    return this.#missing.ranges(MAX_WANTED_RANGES);
  }

  async write(n: number, bytes: Uint8Array): Promise<Written> {
    const length = chunkLengthOf(this.#ref.bytes, n);
    if (length === 0 || bytes.byteLength !== length) return 'wrong';
    if (!this.#missing.has(n) || this.#writing.has(n)) return 'known';
    if (sha256(bytes) !== this.#ref.chunks[n]) return 'wrong';
    this.#writing.add([n, n]);
    try {
      await this.#put(n * CHUNK_BYTES, bytes);
      this.#missing.remove([n, n]);
      return 'stored';
    } catch (cause) {
      throw diskError(this.#paths.part, cause);
    } finally {
      this.#writing.remove([n, n]);
    }
  }

  #put(offset: number, bytes: Uint8Array): Promise<void> {
    return this.#handles.use(this.#paths.part, async (file) => {
      for (let at = 0; at < bytes.byteLength; ) {
        const { bytesWritten } = await file.write(bytes, at, bytes.byteLength - at, offset + at);
        at += bytesWritten;
      }
    });
  }

  async finish(): Promise<void> {
    const { part, whole, folder } = this.#paths;
    if (!this.isComplete) throw new Error(`invariant broken: ${part} is finished before it is complete`);
    try {
      await this.#handles.use(part, async (file) => {
        const found = await hashOf(file);
        if (found !== this.#ref.sha256) throw wrongContent(this.#ref, found);
        await file.sync();
      });
      await this.#handles.close(part);
      await rename(part, whole);
      await syncFolder(folder);
    } catch (cause) {
      if (cause instanceof AppError && cause.code === 'invalid') await this.#startAnew();
      throw diskError(part, cause);
    }
  }

  async #startAnew(): Promise<void> {
    const { part } = this.#paths;
    await this.#handles.close(part);
    await rm(part, { force: true });
    this.#missing.add([0, this.#ref.chunks.length - 1]);
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.#handles.close(this.#paths.part);
  }
}

/** SHA-256 of a file; the next piece is read while one is hashed. */
async function hashOf(file: FileHandle): Promise<string> {
  const hash = createHash('sha256');
  const buffers = [new Uint8Array(HASH_BYTES), new Uint8Array(HASH_BYTES)] as const;
  let reading = file.read(buffers[0], 0, HASH_BYTES, 0);
  for (let offset = 0, turn = 0; ; turn = 1 - turn) {
    const { bytesRead, buffer } = await reading;
    if (bytesRead === 0) return hash.digest('hex');
    offset += bytesRead;
    reading = file.read(turn === 0 ? buffers[1] : buffers[0], 0, HASH_BYTES, offset);
    hash.update(buffer.subarray(0, bytesRead));
  }
}
