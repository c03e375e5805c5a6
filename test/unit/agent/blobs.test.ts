import { mkdir, readdir, readFile, stat, truncate, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import fc from 'fast-check';
import { describe, expect, test } from 'vitest';
import { type BlobStore, openBlobStore, type PartialBlob } from '../../../agent/blobs/blob-store.ts';
import { CHUNK_BYTES, MAX_RELEASE_BYTES, MAX_WANTED_RANGES } from '../../../shared/protocol/release.ts';
import { temporaryFolder } from '../../support/temp.ts';
import { type TestBlob, testBlob } from '../../support/transfer.ts';

const BLOB = testBlob(5 * CHUNK_BYTES + 100);
const NOTHING = new Uint8Array();

const chunkOf = (blob: TestBlob, n: number): Uint8Array => blob.chunk(n) ?? NOTHING;

async function writeAll(part: PartialBlob, blob: TestBlob): Promise<void> {
  for (const n of blob.ref.chunks.keys()) await part.write(n, chunkOf(blob, n));
}

/** The content of the only file that a fetch leaves, checked by name. */
async function contentOf(store: BlobStore, { ref }: TestBlob): Promise<Buffer> {
  expect(await store.has(ref)).toBe(true);
  return await readFile(store.pathOf(ref.sha256));
}

test('a blob that came in any order is whole, and its part is gone', async () => {
  await using folder = await temporaryFolder();
  const store = await openBlobStore(folder.path);
  await using part = await store.open(BLOB.ref);
  expect(await store.has(BLOB.ref)).toBe(false);
  for (const n of [3, 0, 5, 1, 4]) expect(await part.write(n, chunkOf(BLOB, n))).toBe('stored');
  expect(await part.write(3, chunkOf(BLOB, 3))).toBe('known');
  expect(part.missing()).toEqual([[2, 2]]);
  expect(part.doneBytes).toBe(4 * CHUNK_BYTES + 100);
  await part.write(2, chunkOf(BLOB, 2));
  expect(part.isComplete).toBe(true);
  await part.finish();
  expect(BLOB.content).toEqual(new Uint8Array(await contentOf(store, BLOB)));
  expect(await readdir(join(folder.path, 'blobs'))).toEqual([BLOB.ref.sha256]);
});

test('what an earlier run has left is found by its hashes, not by its length', async () => {
  await using folder = await temporaryFolder();
  const store = await openBlobStore(folder.path);
  const left = new Uint8Array(BLOB.content);
  left.fill(0, CHUNK_BYTES, 2 * CHUNK_BYTES);
  left.fill(7, 5 * CHUNK_BYTES);
  await writeFile(`${store.pathOf(BLOB.ref.sha256)}.part`, left);
  await using part = await store.open(BLOB.ref);
  expect(part.missing()).toEqual([
    [1, 1],
    [5, 5],
  ]);
  await writeAll(part, BLOB);
  await part.finish();
  expect(new Uint8Array(await contentOf(store, BLOB))).toEqual(BLOB.content);
});

test('a part that is longer than the blob is cut', async () => {
  await using folder = await temporaryFolder();
  const store = await openBlobStore(folder.path);
  await writeFile(`${store.pathOf(BLOB.ref.sha256)}.part`, Buffer.concat([BLOB.content, Buffer.alloc(9)]));
  await using part = await store.open(BLOB.ref);
  expect(part.isComplete).toBe(true);
  await part.finish();
  expect((await contentOf(store, BLOB)).length).toBe(BLOB.ref.bytes);
});

describe('chunks that are not of the blob', () => {
  const long = Buffer.concat([chunkOf(BLOB, 1), Buffer.alloc(1)]);
  test.each([
    ['another chunk of it', 0, chunkOf(BLOB, 1)],
    ['a chunk that is too short', 0, chunkOf(BLOB, 0).subarray(1)],
    ['a chunk that is too long', 1, long],
    ['the last chunk, padded', 5, new Uint8Array(CHUNK_BYTES)],
    ['a chunk beyond the end', 6, chunkOf(BLOB, 5)],
    ['a chunk before the beginning', -1, chunkOf(BLOB, 0)],
    ['half a number', 0.5, chunkOf(BLOB, 0)],
    ['nothing', 0, NOTHING],
  ])('%s is wrong', async (_what, n, bytes) => {
    await using folder = await temporaryFolder();
    const store = await openBlobStore(folder.path);
    await using part = await store.open(BLOB.ref);
    expect(await part.write(n, bytes)).toBe('wrong');
    expect(part.doneBytes).toBe(0);
    expect(await readdir(join(folder.path, 'blobs'))).toEqual([]);
  });
});

test('a blob whose chunks are right and whose whole is wrong starts anew', async () => {
  await using folder = await temporaryFolder();
  const store = await openBlobStore(folder.path);
  const ref = { ...BLOB.ref, sha256: 'a'.repeat(64) };
  await using part = await store.open(ref);
  await writeAll(part, BLOB);
  await expect(part.finish()).rejects.toMatchObject({ code: 'invalid' });
  expect(part.missing()).toEqual([[0, 5]]);
  expect(await store.has(ref)).toBe(false);
  expect(await part.write(0, chunkOf(BLOB, 0))).toBe('stored');
});

test('a disk that lies is found out when the whole is checked', async () => {
  await using folder = await temporaryFolder();
  const store = await openBlobStore(folder.path);
  await using part = await store.open(BLOB.ref);
  await writeAll(part, BLOB);
  await truncate(`${store.pathOf(BLOB.ref.sha256)}.part`, 3 * CHUNK_BYTES);
  await expect(part.finish()).rejects.toMatchObject({ code: 'invalid' });
  await writeAll(part, BLOB);
  await part.finish();
  expect(new Uint8Array(await contentOf(store, BLOB))).toEqual(BLOB.content);
});

test('a blob without chunk hashes is checked as a whole', async () => {
  await using folder = await temporaryFolder();
  const store = await openBlobStore(folder.path);
  const { sha256, bytes } = BLOB.ref;
  await using part = await store.open({ sha256, bytes });
  await writeAll(part, BLOB);
  const swapped = await store.open({ sha256, bytes });
  for (const n of BLOB.ref.chunks.keys()) await swapped.write(n, new Uint8Array(chunkOf(BLOB, n).length));
  await expect(swapped.finish()).rejects.toMatchObject({ code: 'invalid' });
  expect(swapped.missing()).toEqual([[0, 5]]);
  expect(await store.has(BLOB.ref)).toBe(false);
  await part.finish();
  expect(new Uint8Array(await contentOf(store, BLOB))).toEqual(BLOB.content);
});

test.each([
  ['a path', { ...BLOB.ref, sha256: '../../etc/passwd' }],
  ['upper case', { ...BLOB.ref, sha256: BLOB.ref.sha256.toUpperCase() }],
  ['too many chunks', { ...BLOB.ref, bytes: CHUNK_BYTES }],
  ['no bytes', { ...BLOB.ref, bytes: 0, chunks: [] }],
  ['a large one without chunks', { sha256: BLOB.ref.sha256, bytes: MAX_RELEASE_BYTES + 1 }],
  ['a terabyte', { ...BLOB.ref, bytes: 2 ** 40 }],
])('a reference with %s is refused', async (_what, ref) => {
  await using folder = await temporaryFolder();
  const store = await openBlobStore(folder.path);
  await expect(store.open(ref)).rejects.toMatchObject({ code: 'invalid' });
});

test('no more runs are named than a message takes', async () => {
  await using folder = await temporaryFolder();
  const store = await openBlobStore(folder.path);
  const chunks = Array.from({ length: 1_000 }, () => BLOB.ref.chunks[0] ?? '');
  await using part = await store.open({ sha256: BLOB.ref.sha256, bytes: 1_000 * CHUNK_BYTES, chunks });
  for (let n = 0; n < 1_000; n += 2) await part.write(n, chunkOf(BLOB, 0));
  expect(part.missing()).toHaveLength(MAX_WANTED_RANGES);
  expect(part.missing().at(0)).toEqual([1, 1]);
});

test('a file is taken in without being copied, and one that is there stays', async () => {
  await using folder = await temporaryFolder();
  const store = await openBlobStore(folder.path);
  const path = join(folder.path, 'model');
  await writeFile(path, BLOB.content);
  await store.adopt(path, BLOB.ref.sha256);
  expect(await store.has(BLOB.ref)).toBe(true);
  const { ino } = await stat(store.pathOf(BLOB.ref.sha256));
  expect(ino).toBe((await stat(path)).ino);
  await store.adopt(path, BLOB.ref.sha256);
  expect((await stat(store.pathOf(BLOB.ref.sha256))).ino).toBe(ino);
  await expect(store.adopt(join(folder.path, 'none'), 'b'.repeat(64))).rejects.toMatchObject({
    code: 'system',
  });
});

test('a file takes the place of one that has lost its end', async () => {
  await using folder = await temporaryFolder();
  const store = await openBlobStore(folder.path);
  const path = join(folder.path, 'model');
  await writeFile(path, BLOB.content);
  await writeFile(store.pathOf(BLOB.ref.sha256), 'cut');
  await store.adopt(path, BLOB.ref.sha256);
  expect(new Uint8Array(await contentOf(store, BLOB))).toEqual(BLOB.content);
});

test('missing bytes are those that the disk has not given yet', async () => {
  await using folder = await temporaryFolder();
  const store = await openBlobStore(folder.path);
  expect(await store.missingBytes([BLOB.ref])).toBe(BLOB.ref.bytes);
  await using part = await store.open(BLOB.ref);
  await part.write(5, chunkOf(BLOB, 5));
  expect(await store.missingBytes([BLOB.ref])).toBeGreaterThan(4 * CHUNK_BYTES);
  await writeAll(part, BLOB);
  await part.finish();
  expect(await store.missingBytes([BLOB.ref])).toBe(0);
  expect(await store.freeBytes()).toBeGreaterThan(0);
});

test('what nobody needs is removed, and nothing else', async () => {
  await using folder = await temporaryFolder();
  const store = await openBlobStore(folder.path);
  const at = (name: string): string => join(folder.path, 'blobs', name);
  const [kept, gone] = ['a'.repeat(64), 'b'.repeat(64)];
  const temporary = `${kept}.6d0c9a52-5f0e-4e5c-8a53-0d0f6d3f6b1a.tmp`;
  for (const name of [kept, `${kept}.part`, gone, `${gone}.part`, temporary, 'readme']) {
    await writeFile(at(name), '12345');
  }
  expect(await store.collect(new Set([kept]))).toEqual({ blobs: 3, bytes: 15 });
  expect((await readdir(at(''))).sort()).toEqual([kept, `${kept}.part`, 'readme'].sort());
});

test('a disk that refuses is told as such, and what was there stays', async () => {
  await using folder = await temporaryFolder();
  const store = await openBlobStore(folder.path);
  await using part = await store.open(BLOB.ref);
  // A folder where the file should be: the simplest disk that takes nothing.
  const path = `${store.pathOf(BLOB.ref.sha256)}.part`;
  await mkdir(path);
  await expect(part.write(0, chunkOf(BLOB, 0))).rejects.toMatchObject({ code: 'system' });
  expect(part.missing()).toEqual([[0, 5]]);
});

describe('whatever comes', () => {
  const blobs = [testBlob(3 * CHUNK_BYTES + 1), testBlob(CHUNK_BYTES), testBlob(17)] as const;
  const spoilt = fc.constantFrom('as it is', 'truncated', 'padded', 'flipped', 'of another blob');
  const arrival = fc.record({
    blob: fc.nat({ max: 2 }),
    n: fc.integer({ min: -1, max: 5 }),
    from: fc.nat({ max: 4 }),
    spoilt,
    restarts: fc.integer({ min: 0, max: 9 }).map((value) => value === 0),
  });
  const bytesOf = (one: { blob: number; from: number; spoilt: string }): Uint8Array => {
    const bytes = blobs[one.blob]?.chunk(one.from) ?? NOTHING;
    if (one.spoilt === 'truncated') return bytes.subarray(0, -1);
    if (one.spoilt === 'padded') return Buffer.concat([bytes, Buffer.alloc(1)]);
    if (one.spoilt === 'flipped') return bytes.map((byte, index) => (index === 3 ? byte ^ 1 : byte));
    if (one.spoilt === 'of another blob') return blobs[(one.blob + 1) % 3]?.chunk(one.from) ?? NOTHING;
    return bytes;
  };

  const openAll = async (path: string): Promise<PartialBlob[]> => {
    const store = await openBlobStore(path);
    return await Promise.all(blobs.map(({ ref }) => store.open(ref)));
  };
  const closeAll = (parts: readonly PartialBlob[]) =>
    Promise.all(parts.map((part) => part[Symbol.asyncDispose]()));
  /** As after a restart of the agent. */
  const reopened = async (path: string, parts: readonly PartialBlob[]): Promise<PartialBlob[]> => {
    await closeAll(parts);
    const again = await openAll(path);
    expect(again.map((part) => part.missing())).toEqual(parts.map((part) => part.missing()));
    return again;
  };
  const finishAll = async (parts: readonly PartialBlob[]): Promise<void> => {
    for (const [index, part] of parts.entries()) {
      await writeAll(part, blobs[index] ?? BLOB);
      await part.finish();
    }
  };

  test('the store ends with exactly the right files', async () => {
    await fc.assert(
      fc.asyncProperty(fc.array(arrival, { maxLength: 40 }), async (arrivals) => {
        await using folder = await temporaryFolder();
        let parts = await openAll(folder.path);
        for (const one of arrivals) {
          const written = await parts[one.blob]?.write(one.n, bytesOf(one));
          const isRight = one.spoilt === 'as it is' && one.n === one.from && bytesOf(one).length > 0;
          expect(isRight ? ['stored', 'known'] : ['wrong', 'known']).toContain(written);
          if (one.restarts) parts = await reopened(folder.path, parts);
        }
        await finishAll(parts);
        const store = await openBlobStore(folder.path);
        for (const blob of blobs) {
          expect(new Uint8Array(await contentOf(store, blob))).toEqual(blob.content);
        }
        expect(await readdir(join(folder.path, 'blobs'))).toHaveLength(3);
      }),
      { numRuns: 40 },
    );
  });
});
