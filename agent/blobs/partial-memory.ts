import { chunkLengthOf, createChunkSet } from '../../shared/chunk-ranges.ts';
import { sha256, writeAtomic } from '../../shared/files.ts';
import { CHUNK_BYTES, MAX_WANTED_RANGES } from '../../shared/protocol/release.ts';
import { chunkCountOf } from '../../shared/release/manifest.ts';
import { type BlobRef, diskError, type PartialBlob, wrongContent } from './partial-blob.ts';

/**
 * Collects a small blob whose chunks have no hashes: the first that comes counts, and if the whole turns out
 * wrong all of it is thrown away.
 * @param path of the whole
 */
export function openPartialMemory(path: string, ref: BlobRef): PartialBlob {
  const content = new Uint8Array(ref.bytes);
  const missing = createChunkSet();
  const miss = (): unknown => missing.add([0, chunkCountOf(ref.bytes) - 1]);
  let doneBytes = 0;
  miss();
  return {
    get doneBytes() {
      return doneBytes;
    },
    get isComplete() {
      return missing.size === 0;
    },
    missing: () => missing.ranges(MAX_WANTED_RANGES),
    write: async (n, bytes) => {
      const length = chunkLengthOf(ref.bytes, n);
      if (length === 0 || bytes.byteLength !== length) return 'wrong';
      if (missing.remove([n, n]) === 0) return 'known';
      content.set(bytes, n * CHUNK_BYTES);
      doneBytes += length;
      return 'stored';
    },
    finish: async () => {
      const found = sha256(content);
      if (found !== ref.sha256) {
        doneBytes = 0;
        miss();
        throw wrongContent(ref, found);
      }
      await writeAtomic(path, content).catch((cause: unknown) => {
        throw diskError(path, cause);
      });
    },
    [Symbol.asyncDispose]: async () => {},
  };
}
