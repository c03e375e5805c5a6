import { readdir, readFile, rm, utimes, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { describe, expect, it } from 'vitest';
import { MissingBlobs, type Releases } from '../../../controller/releases/releases.ts';
import { readFamily } from '../../../shared/family/read.ts';
import { sha256 } from '../../../shared/files.ts';
import { CHUNK_BYTES } from '../../../shared/protocol/release.ts';
import { familyRelease, filesOfFamily, programRelease } from '../../../shared/release/build.ts';
import { hashBlob } from '../../../shared/release/hash-blob.ts';
import type { ReleaseManifest } from '../../../shared/release/manifest.ts';
import { createKeyPair, signBytes } from '../../../shared/release/signature.ts';
import {
  BUNDLED_FAMILY,
  keyringOf,
  openReleaseWorld,
  PUBLISHER,
  putFiles,
  signed,
} from '../../support/releases.ts';
import { temporaryFolder } from '../../support/temp.ts';

const DAY_MS = 86_400_000;
const NOW = 1_700_000_000_000;

async function* partsOf(...parts: readonly (string | Uint8Array)[]): AsyncGenerator<Uint8Array> {
  for (const part of parts) yield Buffer.from(part);
}

/** A program of a few bytes, put and ready to be published. */
async function programOf(
  releases: Releases,
  folder: string,
  { version, content = `program ${version}` }: { version: number; content?: string },
): Promise<ReleaseManifest> {
  const path = join(folder, `program-${version}.tgz`);
  await writeFile(path, content);
  await putFiles(releases, [{ role: 'program', path }]);
  return programRelease(
    { role: 'program', path, ...(await hashBlob(path)) },
    {
      ...{ name: 'ofa-agent', version, createdTs: NOW, expiresTs: NOW + DAY_MS },
      program: { version: '0.2.0', minNode: 24 },
    },
  );
}

async function publish(releases: Releases, manifest: ReleaseManifest) {
  const { bytes, signature } = signed(manifest);
  return releases.publish(bytes, signature);
}

async function failureOf(work: Promise<unknown>): Promise<unknown> {
  return work.then(
    () => undefined,
    (error: unknown) => error,
  );
}

describe('blobs', () => {
  it('are taken as a stream, named when all is there, and read by the chunk', async () => {
    await using folder = await temporaryFolder();
    await using world = await openReleaseWorld(folder.path);
    const { releases } = world;
    const content = Buffer.alloc(2 * CHUNK_BYTES + 5, 'abc');
    const hash = sha256(content);
    expect(releases.hasBlob(hash)).toBe(false);
    expect(await releases.putBlob(hash, partsOf(content), content.length)).toBe('stored');
    expect(await releases.putBlob(hash, partsOf(content), content.length)).toBe('known');
    expect(await readFile(releases.blobPath(hash))).toEqual(content);
    const chunks = await Promise.all([0, 1, 2].map((n) => releases.readChunk(hash, n)));
    expect(Buffer.concat(chunks.flatMap((chunk) => chunk ?? []))).toEqual(content);
    expect(await releases.readChunk(hash, 3)).toBeUndefined();
    expect(await releases.readChunk('0'.repeat(64), 0)).toBeUndefined();
    await rm(releases.blobPath(hash));
    expect((await releases.readChunk(hash, 0))?.length).toBe(CHUNK_BYTES);
  });

  it('are read many at once, more than stay open', async () => {
    await using folder = await temporaryFolder();
    await using world = await openReleaseWorld(folder.path);
    const { releases } = world;
    const contents = Array.from({ length: 40 }, (_, index) => `content ${index}`);
    for (const content of contents) await releases.putBlob(sha256(content), partsOf(content), content.length);
    const twice = [...contents, ...contents];
    const read = await Promise.all(twice.map((content) => releases.readChunk(sha256(content), 0)));
    expect(read.map((chunk) => new TextDecoder().decode(chunk))).toEqual(twice);
  });

  it('leave nothing when they are others than was said, or when they break off', async () => {
    await using folder = await temporaryFolder();
    await using world = await openReleaseWorld(folder.path);
    const { releases } = world;
    const hash = sha256('abcdef');
    const broken = async function* (): AsyncGenerator<Uint8Array> {
      yield Buffer.from('abc');
      throw new Error('the connection is gone');
    };
    const tries: [AsyncGenerator<Uint8Array>, number, RegExp][] = [
      [partsOf('abc'), 6, /3 bytes came, expected 6/],
      [partsOf('abc', 'defg'), 6, /more than 6 bytes/],
      [partsOf('abcdeX'), 6, /what came has SHA-256/],
      [broken(), 6, /the connection is gone/],
      [partsOf(), 0, /0 bytes, expected 1 to/],
      [partsOf('abc'), 2 ** 31 + 1, /expected 1 to/],
    ];
    for (const [body, bytes, message] of tries) {
      await expect(releases.putBlob(hash, body, bytes)).rejects.toThrow(message);
    }
    expect(await readdir(join(folder.path, 'blobs'))).toEqual([]);
    expect(releases.hasBlob(hash)).toBe(false);
  });

  it('are refused before they are taken when the disk has no room, counting those under way', async () => {
    await using folder = await temporaryFolder();
    await using world = await openReleaseWorld(folder.path);
    const { releases, facts } = world;
    facts.freeBytes = 256 * 2 ** 20 + 10;
    const gate = Promise.withResolvers<void>();
    const slow = async function* (): AsyncGenerator<Uint8Array> {
      await gate.promise;
      yield Buffer.from('abcdef');
    };
    const first = releases.putBlob(sha256('abcdef'), slow(), 6);
    await expect(releases.putBlob(sha256('ghijkl'), partsOf('ghijkl'), 6)).rejects.toMatchObject({
      code: 'system',
      message: expect.stringContaining("the controller's disk has room for 10"),
    });
    gate.resolve();
    expect(await first).toBe('stored');
    expect(await releases.putBlob(sha256('ghijkl'), partsOf('ghijkl'), 6)).toBe('stored');
  });

  it('of a dead upload are removed at the next start; those that nobody named, after a day', async () => {
    await using folder = await temporaryFolder();
    const blobs = join(folder.path, 'blobs');
    const [aged, fresh] = [sha256('aged'), sha256('fresh')];
    {
      await using world = await openReleaseWorld(folder.path);
      await world.releases.putBlob(aged, partsOf('aged'), 4);
      await world.releases.putBlob(fresh, partsOf('fresh'), 5);
    }
    await writeFile(join(blobs, `${sha256('x')}.0f0e.tmp`), 'half of it');
    await utimes(join(blobs, aged), NOW / 1_000 - 90_000, NOW / 1_000 - 90_000);
    await utimes(join(blobs, fresh), NOW / 1_000, NOW / 1_000);
    await using world = await openReleaseWorld(folder.path);
    expect(await readdir(blobs)).toEqual([fresh]);
    expect([aged, fresh].map((hash) => world.releases.hasBlob(hash))).toEqual([false, true]);
  });
});

describe('releases', () => {
  it('are published when their blobs are there, and survive a restart with their exact bytes', async () => {
    await using folder = await temporaryFolder();
    const family = await readFamily(BUNDLED_FAMILY);
    const files = filesOfFamily(family, 'full');
    const hashed = await Promise.all(
      files.map(async (file) => ({ ...file, ...(await hashBlob(file.path)) })),
    );
    const facts = { name: 'fashion-mnist', version: 2, createdTs: NOW, expiresTs: NOW + DAY_MS };
    const { bytes, signature } = signed(familyRelease(family.manifest, hashed, { ...facts, form: 'full' }));
    {
      await using world = await openReleaseWorld(folder.path);
      const { releases } = world;
      const missing = await failureOf(releases.publish(bytes, signature));
      expect(missing).toBeInstanceOf(MissingBlobs);
      expect(missing).toMatchObject({ code: 'conflict', blobs: hashed.map((file) => file.sha256) });
      await putFiles(releases, files);
      const stored = await releases.publish(bytes, signature);
      expect(await releases.publish(bytes, signature)).toEqual(stored);
    }
    await using world = await openReleaseWorld(folder.path);
    const [release] = world.releases.list();
    expect(release).toMatchObject({ kind: 'family', ref: { name: 'fashion-mnist', version: 2, signature } });
    expect(release?.damaged).toBeUndefined();
    const manifest = await world.releases.readChunk(sha256(bytes), 0);
    expect(manifest).toEqual(Buffer.from(bytes));
    expect(world.releases.find('family', 'fashion-mnist')).toEqual(release);
    expect(world.releases.find('program', 'fashion-mnist')).toBeUndefined();
    expect(() => world.releases.require('family', 'fashion-mnist', 3)).toThrow(
      'there is no release family fashion-mnist 3',
    );
  });

  it('say why no device takes them any more once the key that signed them is revoked', async () => {
    await using folder = await temporaryFolder();
    await using world = await openReleaseWorld(folder.path);
    const { releases, facts } = world;
    const { kind, name } = await programOf(releases, folder.path, { version: 1 });
    await publish(releases, await programOf(releases, folder.path, { version: 1 }));
    expect(releases.require(kind, name).untrusted).toBe(undefined);
    facts.keyring = keyringOf({ publishers: [], revoked: [PUBLISHER.publicKey.id] });
    const all = [releases.require(kind, name), releases.find(kind, name), ...releases.list()];
    expect(new Set(all.map((each) => each?.untrusted))).toEqual(
      new Set([`key ${PUBLISHER.publicKey.id}, which signed it, is revoked`]),
    );
  });

  it('are refused of others, of revoked keys, after their time, and where chunks are not what they say', async () => {
    await using folder = await temporaryFolder();
    await using world = await openReleaseWorld(folder.path);
    const { releases, facts, clock } = world;
    const manifest = await programOf(releases, folder.path, { version: 1 });
    const { bytes, signature } = signed(manifest);
    const stranger = signBytes(createKeyPair().privatePem, bytes);
    await expect(releases.publish(bytes, stranger)).rejects.toThrow('is no publisher');
    await expect(releases.publish(Buffer.concat([bytes, Buffer.from(' ')]), signature)).rejects.toThrow(
      'wrong',
    );
    facts.keyring = keyringOf({ publishers: [], revoked: [PUBLISHER.publicKey.id] });
    await expect(releases.publish(bytes, signature)).rejects.toThrow('revoked');
    facts.keyring = undefined;
    await expect(releases.publish(bytes, signature)).rejects.toThrow('no keyring');
    facts.keyring = keyringOf();
    const blobs = manifest.blobs.map((blob) => ({ ...blob, chunks: ['0'.repeat(64)] }));
    await expect(publish(releases, { ...manifest, blobs })).rejects.toThrow('chunk 0 of blob');
    const longer = manifest.blobs.map((blob) => ({ ...blob, bytes: blob.bytes + 1 }));
    await expect(publish(releases, { ...manifest, blobs: longer })).rejects.toThrow(
      'bytes, its manifest says',
    );
    await clock.advance(DAY_MS);
    await expect(releases.publish(bytes, signature)).rejects.toThrow('expired at');
    expect(releases.list()).toEqual([]);
  });

  it('only go up, also past one that was deleted, except with the same content', async () => {
    await using folder = await temporaryFolder();
    await using world = await openReleaseWorld(folder.path);
    const { releases } = world;
    const first = await programOf(releases, folder.path, { version: 1 });
    const second = await programOf(releases, folder.path, { version: 2 });
    await publish(releases, first);
    await publish(releases, second);
    // A try that is made again, although a newer one has come.
    expect((await publish(releases, first)).ref.version).toBe(1);
    const other = await programOf(releases, folder.path, { version: 2, content: 'other' });
    await expect(publish(releases, other)).rejects.toMatchObject({
      code: 'conflict',
      message: expect.stringContaining('version 2 was published before; the next one has to be above it'),
    });
    await releases.remove('program', 'ofa-agent', 2);
    expect(releases.find('program', 'ofa-agent')?.ref.version).toBe(1);
    await expect(publish(releases, other)).rejects.toThrow('version 2 was published before');
    await programOf(releases, folder.path, { version: 2 });
    expect((await publish(releases, second)).ref.version).toBe(2);
    expect(releases.list().map(({ ref }) => ref.version)).toEqual([1, 2]);
  });

  it('take another good signature over the same bytes', async () => {
    await using folder = await temporaryFolder();
    await using world = await openReleaseWorld(folder.path);
    const { releases, facts } = world;
    const { bytes, signature } = signed(await programOf(releases, folder.path, { version: 1 }));
    await releases.publish(bytes, signature);
    const next = createKeyPair();
    facts.keyring = keyringOf({
      publishers: [{ name: 'ci', ...next.publicKey }],
      revoked: [PUBLISHER.publicKey.id],
    });
    await releases.publish(bytes, signBytes(next.privatePem, bytes));
    expect(releases.list().map(({ ref }) => ref.signature.keyId)).toEqual([next.publicKey.id]);
  });

  it('are deleted with what no other one needs, and not while a rollout needs them', async () => {
    await using folder = await temporaryFolder();
    await using world = await openReleaseWorld(folder.path);
    const { releases, facts } = world;
    const first = await programOf(releases, folder.path, { version: 1, content: 'shared' });
    const second = await programOf(releases, folder.path, { version: 2, content: 'shared' });
    await publish(releases, first);
    const { ref } = await publish(releases, second);
    facts.needed.add('program ofa-agent 1');
    await expect(releases.remove('program', 'ofa-agent', 1)).rejects.toMatchObject({ code: 'conflict' });
    facts.needed.clear();
    await releases.remove('program', 'ofa-agent', 1);
    const shared = sha256('shared');
    expect((await readdir(join(folder.path, 'blobs'))).sort()).toEqual([shared, ref.manifest.sha256].sort());
    await expect(releases.remove('program', 'ofa-agent', 1)).rejects.toMatchObject({ code: 'not-found' });
    await releases.remove('program', 'ofa-agent', 2);
    expect(await readdir(join(folder.path, 'blobs'))).toEqual([]);
  });

  it('say what is gone, and are mended by being published again', async () => {
    await using folder = await temporaryFolder();
    const hash = sha256('program 1');
    {
      await using world = await openReleaseWorld(folder.path);
      await publish(world.releases, await programOf(world.releases, folder.path, { version: 1 }));
    }
    // As after a restore: a backup has the database only.
    await rm(join(folder.path, 'blobs'), { recursive: true });
    await using world = await openReleaseWorld(folder.path);
    const { releases } = world;
    const damaged = releases.require('program', 'ofa-agent');
    expect(damaged.damaged).toEqual([hash]);
    expect(releases.hasBlob(damaged.ref.manifest.sha256)).toBe(true);
    await publish(releases, await programOf(releases, folder.path, { version: 1 }));
    expect(releases.require('program', 'ofa-agent').damaged).toBeUndefined();
    // The same size and other content is found when it is published again.
    await writeFile(releases.blobPath(hash), 'PROGRAM 1');
    expect(await failureOf(publish(releases, damaged.manifest))).toMatchObject({ blobs: [hash] });
    expect(releases.require('program', 'ofa-agent').damaged).toEqual([hash]);
  });
});
