import type { BlobRef, BlobStore, PartialBlob } from '../../agent/blobs/blob-store.ts';
import { chunkLengthOf, createChunkSet } from '../../shared/chunk-ranges.ts';
import { AppError } from '../../shared/errors.ts';
import { sha256 } from '../../shared/files.ts';
import { CHUNK_BYTES, MAX_WANTED_RANGES } from '../../shared/protocol/release.ts';
import { type Random, seededRandom } from '../../shared/random.ts';
import { chunkCountOf } from '../../shared/release/manifest.ts';

/** A blob of random content. */
export interface TestBlob {
  readonly content: Uint8Array;
  readonly ref: { readonly sha256: string; readonly bytes: number; readonly chunks: readonly string[] };
  /** Bytes of a chunk; undefined where there is none. */
  chunk(n: number): Uint8Array | undefined;
}

/** Makes a blob of so many bytes. */
export function testBlob(bytes: number, seed = bytes): TestBlob {
  const random: Random = seededRandom(seed);
  const words = Uint32Array.from({ length: Math.ceil(bytes / 4) }, () => random.below(2 ** 31));
  const content = new Uint8Array(words.buffer).subarray(0, bytes);
  const chunk = (n: number): Uint8Array | undefined => {
    const part = content.subarray(n * CHUNK_BYTES, (n + 1) * CHUNK_BYTES);
    return part.byteLength === 0 ? undefined : part;
  };
  const chunks = Array.from({ length: chunkCountOf(bytes) }, (_, n) => sha256(chunk(n) ?? new Uint8Array()));
  return { content, ref: { sha256: sha256(content), bytes, chunks }, chunk };
}

/** Lets a chain of promises and immediates run for so many turns of the event loop. */
export async function settled(turns = 20): Promise<void> {
  for (let turn = 0; turn < turns; turn += 1) await new Promise((resolve) => setImmediate(resolve));
}

/** A blob store in memory, for tests in which time stands still: its files are there at once. */
export interface MemoryStore extends BlobStore {
  readonly blobs: ReadonlySet<string>;
}

/** Makes an empty store in memory. */
export function memoryStore(): MemoryStore {
  const blobs = new Set<string>();
  const partOf = (ref: BlobRef): PartialBlob => {
    const chunks = new Map<number, Uint8Array>();
    const count = chunkCountOf(ref.bytes);
    const bytesOfAll = (): Uint8Array =>
      Buffer.concat(Array.from({ length: count }, (_, n) => chunks.get(n) ?? new Uint8Array()));
    return {
      get doneBytes() {
        return [...chunks.values()].reduce((sum, { byteLength }) => sum + byteLength, 0);
      },
      get isComplete() {
        return chunks.size === count;
      },
      missing: () => {
        const set = createChunkSet();
        for (let n = 0; n < count; n += 1) if (!chunks.has(n)) set.add([n, n]);
        return set.ranges(MAX_WANTED_RANGES);
      },
      write: async (n, bytes) => {
        if (bytes.byteLength !== chunkLengthOf(ref.bytes, n)) return 'wrong';
        if (chunks.has(n)) return 'known';
        if (ref.chunks !== undefined && sha256(bytes) !== ref.chunks[n]) return 'wrong';
        chunks.set(n, bytes);
        return 'stored';
      },
      finish: async () => {
        const isRight = sha256(bytesOfAll()) === ref.sha256;
        chunks.clear();
        if (!isRight) throw new AppError('invalid', 'the whole is wrong');
        blobs.add(ref.sha256);
      },
      [Symbol.asyncDispose]: async () => {},
    };
  };
  return {
    blobs,
    pathOf: (name) => name,
    has: async (ref) => blobs.has(ref.sha256),
    adopt: async (_path, name) => void blobs.add(name),
    open: async (ref) => partOf(ref),
    missingBytes: async (refs) => refs.reduce((sum, { bytes }) => sum + bytes, 0),
    freeBytes: async () => Number.MAX_SAFE_INTEGER,
    collect: async () => ({ blobs: 0, bytes: 0 }),
  };
}
