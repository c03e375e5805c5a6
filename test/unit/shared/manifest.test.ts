import { cp, mkdtemp, readFile, rm, truncate, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterEach, beforeEach, describe, expect, test } from 'vitest';
import { type Manifest, manifestParser } from '../../../shared/family/manifest.ts';
import { MANIFEST_FILE, modelPath, readFamily } from '../../../shared/family/read.ts';
import { sha256 } from '../../../shared/files.ts';
import { packageRoot } from '../../../shared/package.ts';

const BUNDLED = join(packageRoot(), 'models/families/fashion-mnist');
const parse = manifestParser();

let folder: string;

beforeEach(async () => {
  folder = await mkdtemp(join(tmpdir(), 'ofa-manifest-'));
});

afterEach(async () => {
  await rm(folder, { recursive: true, force: true });
});

async function bundledManifest(): Promise<Manifest> {
  return parse(JSON.parse(await readFile(join(BUNDLED, MANIFEST_FILE), 'utf8')), 'bundled');
}

/** A copy of the bundled family, changed, must be refused with a sentence like this. */
async function expectRefused(change: (manifest: Manifest) => Promise<void>, sentence: RegExp): Promise<void> {
  await cp(BUNDLED, folder, { recursive: true });
  await change(await bundledManifest());
  const reading = readFamily(folder);
  await expect(reading).rejects.toMatchObject({ code: 'invalid' });
  await expect(reading).rejects.toThrow(sentence);
}

describe('the bundled family', () => {
  test('is whole, and named by the hash of its manifest', async () => {
    const family = await readFamily(BUNDLED);
    expect(family.sha256).toBe(sha256(await readFile(join(BUNDLED, MANIFEST_FILE))));
    expect(family.manifest.levels.map(({ accuracy }) => accuracy)).toEqual([
      0.9113, 0.9151, 0.9216, 0.9225, 0.9271,
    ]);
  });

  test('is refused when a model has another size', async () => {
    await expectRefused(async ({ levels: [first] }) => {
      if (first !== undefined) await truncate(modelPath(folder, first), 10);
    }, /level 0: .* has 10 bytes, the manifest says \d+/);
  });

  test('is refused when one byte of a model is another', async () => {
    await expectRefused(async ({ levels: [, second] }) => {
      if (second === undefined) return;
      const bytes = await readFile(modelPath(folder, second));
      bytes.writeUInt8(bytes.readUInt8(500) ^ 1, 500);
      await writeFile(modelPath(folder, second), bytes);
    }, /level 1: .* has SHA-256 [0-9a-f]{64}, the manifest says [0-9a-f]{64}$/);
  });

  test('is refused when a model is missing', async () => {
    await expectRefused(async ({ levels: [first] }) => {
      if (first !== undefined) await rm(modelPath(folder, first));
    }, /level 0: its model .* cannot be read/);
  });

  test('is refused when its manifest is too large to be one', async () => {
    await expectRefused(
      () => truncate(join(folder, MANIFEST_FILE), 5 * 1024 * 1024),
      /at most 4194304 are read/,
    );
  });

  test('is refused when its manifest is not JSON', async () => {
    await expectRefused(() => writeFile(join(folder, MANIFEST_FILE), '{'), /family\.json: not JSON/);
  });
});

test('a folder without a manifest is not found', async () => {
  await expect(readFamily(folder)).rejects.toMatchObject({ code: 'not-found' });
});

describe('a manifest', () => {
  test('keeps keys that are not known', async () => {
    expect(parse({ ...(await bundledManifest()), later: 1 }, 'family')).toHaveProperty('later', 1);
  });

  test('is refused when labels and outputs differ in number', async () => {
    const manifest = await bundledManifest();
    expect(() => parse({ ...manifest, labels: manifest.labels.slice(1) }, 'family')).toThrow(
      'family: 9 labels for 10 outputs',
    );
  });

  test('is refused when its levels are not in order of cost', async () => {
    const manifest = await bundledManifest();
    expect(() => parse({ ...manifest, levels: manifest.levels.toReversed() }, 'family')).toThrow(
      'family: levels are not in order of cost, cheapest first: level 1 has',
    );
  });

  test('goes by latency where every level states one: an int8 level may do more and be quicker', async () => {
    const manifest = await bundledManifest();
    const levels = manifest.levels
      .toReversed()
      .map((level, index) => ({ ...level, precision: 'int8', latencyMs: 1 + index }));
    expect(parse({ ...manifest, levels }, 'family').levels).toHaveLength(levels.length);
    expect(() => parse({ ...manifest, levels: levels.toReversed() }, 'family')).toThrow(
      /level 1 has 4 ms, level 0 has 5$/,
    );
  });

  test.each([
    ['format', 2],
    ['name', '../up'],
    ['version', 0],
    ['levels', []],
    ['task', 'segmentation'],
    ['input', { name: 'x', type: 'float32', shape: [1, 28, 28, 1] }],
    ['labels', ['only one']],
  ])('is refused with a wrong %s', async (key, value) => {
    const manifest = await bundledManifest();
    expect(() => parse({ ...manifest, [key]: value }, 'family')).toThrow(new RegExp(`^family at /${key}`));
  });
});
