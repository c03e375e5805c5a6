import { writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { type Family, readFamily } from '../../../shared/family/read.ts';
import { sha256 } from '../../../shared/files.ts';
import { CHUNK_BYTES } from '../../../shared/protocol/release.ts';
import {
  encodeRelease,
  familyRelease,
  filesOfFamily,
  type HashedFile,
  programRelease,
  type ReleaseFile,
} from '../../../shared/release/build.ts';
import { checkFamilyFits } from '../../../shared/release/family-fit.ts';
import { hashBlob } from '../../../shared/release/hash-blob.ts';
import { BUNDLED_BACKBONE, BUNDLED_FAMILY } from '../../support/releases.ts';
import { temporaryFolder } from '../../support/temp.ts';

const FACTS = { name: 'fashion-mnist', version: 7, createdTs: 1_000, expiresTs: 2_000 };

async function hashed(files: readonly ReleaseFile[]): Promise<HashedFile[]> {
  return Promise.all(files.map(async (file) => ({ ...file, ...(await hashBlob(file.path)) })));
}

describe('the hashes of a blob', () => {
  it('are those of the whole and of each chunk, at every size around a chunk', async () => {
    await using folder = await temporaryFolder();
    const path = join(folder.path, 'blob');
    const size = fc.oneof(
      fc.integer({ min: 1, max: 3 * CHUNK_BYTES }),
      fc.constantFrom(1, CHUNK_BYTES - 1, CHUNK_BYTES, CHUNK_BYTES + 1, 2 * CHUNK_BYTES),
    );
    await fc.assert(
      fc.asyncProperty(size, fc.integer({ min: 0, max: 255 }), async (bytes, seed) => {
        const content = Uint8Array.from({ length: bytes }, (_, at) => (at * 31 + seed) % 251);
        await writeFile(path, content);
        const chunks: string[] = [];
        for (let at = 0; at < bytes; at += CHUNK_BYTES) {
          chunks.push(sha256(content.subarray(at, at + CHUNK_BYTES)));
        }
        expect(await hashBlob(path)).toEqual({ sha256: sha256(content), bytes, chunks });
      }),
      { numRuns: 15 },
    );
  });

  it('are refused of what is empty, no file, or not there', async () => {
    await using folder = await temporaryFolder();
    const empty = join(folder.path, 'empty');
    await writeFile(empty, '');
    await expect(hashBlob(empty)).rejects.toMatchObject({
      code: 'invalid',
      message: `${empty}: it is empty`,
    });
    await expect(hashBlob('/dev/zero')).rejects.toMatchObject({ code: 'invalid' });
    await expect(hashBlob(folder.path)).rejects.toMatchObject({ code: 'invalid' });
    await expect(hashBlob(join(folder.path, 'none'))).rejects.toMatchObject({ code: 'not-found' });
  });
});

describe('a release of the bundled family', () => {
  it('in full has its models and recipes, each content once, and fits it', async () => {
    const family = await readFamily(BUNDLED_FAMILY);
    const files = await hashed(filesOfFamily(family, 'full'));
    const release = familyRelease(family.manifest, files, { ...FACTS, form: 'full' });
    expect(release).toMatchObject({ kind: 'family', name: 'fashion-mnist', version: 7, form: 'full' });
    expect(release.backbone).toBeUndefined();
    expect(new Set(release.blobs.map(({ sha256: hash }) => hash)).size).toBe(release.blobs.length);
    expect(release.blobs[0]).toMatchObject({ role: 'family', sha256: family.sha256 });
    checkFamilyFits(release, family.manifest);
    const without = { ...release, blobs: release.blobs.filter(({ role }) => role !== 'recipe') };
    expect(() => checkFamilyFits(without, family.manifest)).toThrow('the recipe of level 0 is not in it');
    const other = { ...family.manifest, name: 'other' };
    expect(() => checkFamilyFits(release, other)).toThrow('its family.json is that of other');
  });

  it('as recipes brings the backbone, and is a small part of it besides', async () => {
    const family = await readFamily(BUNDLED_FAMILY);
    const files = await hashed(filesOfFamily(family, 'recipes', BUNDLED_BACKBONE));
    const release = familyRelease(family.manifest, files, { ...FACTS, form: 'recipes' });
    const backbone = release.blobs.find(({ role }) => role === 'backbone');
    expect(release.backbone).toEqual({ id: family.manifest.backbone?.id, sha256: backbone?.sha256 });
    expect(release.blobs.some(({ role }) => role === 'model')).toBe(false);
    checkFamilyFits(release, family.manifest);
    const foreign = { ...release, backbone: { id: 'f'.repeat(64), sha256: 'e'.repeat(64) } };
    expect(() => checkFamilyFits(foreign, family.manifest)).toThrow('its recipes are for backbone');
    expect(JSON.parse(new TextDecoder().decode(encodeRelease(release)))).toEqual(release);
  });

  it('is refused where devices could not cut it, or it would be over at once', async () => {
    const family = await readFamily(BUNDLED_FAMILY);
    const levels = family.manifest.levels.map(({ recipe: _recipe, ...level }) => level);
    const uncut: Family = { ...family, manifest: { ...family.manifest, levels } };
    expect(() => filesOfFamily(uncut, 'recipes', BUNDLED_BACKBONE)).toThrow('level 0 has no recipe');
    const files = await hashed(filesOfFamily(family, 'full'));
    const late = { ...FACTS, form: 'full', expiresTs: 1_000 } as const;
    expect(() => familyRelease(family.manifest, files, late)).toThrow('expired when it is signed');
    const program = { version: '0.2.0', minNode: 24 };
    const [file] = files;
    if (file === undefined) throw new Error('the family has no files');
    expect(() => programRelease(file, { ...FACTS, program })).toThrow('exactly one blob');
    expect(programRelease({ ...file, role: 'program' }, { ...FACTS, program })).toMatchObject({ program });
  });
});
