import { readdir, rm, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { describe, expect, test } from 'vitest';
import type { Dataset } from '../../../models/datasets/dataset.ts';
import { parseLabels } from '../../../models/datasets/labels.ts';
import { chooseLevels } from '../../../models/family/choose.ts';
import { frontParser, writtenFront } from '../../../models/family/front-file.ts';
import { labelsOf } from '../../../models/family/labels.ts';
import { checkTarget, type LevelFiles, writeFamily } from '../../../models/family/write.ts';
import { extremeArchitecture } from '../../../models/ofa/architecture.ts';
import { KNOWN_SPACES, mobileNetV3Space } from '../../../models/ofa/spaces.ts';
import { plannedSamples } from '../../../models/samples/collect.ts';
import { readFamily, recipePath } from '../../../shared/family/read.ts';
import { sha256 } from '../../../shared/files.ts';
import { temporaryFolder } from '../../support/temp.ts';

const MANIFEST: Parameters<typeof writeFamily>[1] = {
  name: 'tiny',
  version: 1,
  task: 'image-classification',
  labels: ['a', 'b'],
  input: { name: 'image', type: 'uint8', shape: [1, 4, 4, 1] },
  output: { name: 'logits', type: 'float32', shape: [1, 2] },
  provenance: {},
  backbone: { id: '0'.repeat(64), name: 'backbone' },
};

function level(latencyMs: number, content: string): LevelFiles {
  return {
    level: { accuracy: 0.5, latencyMs, macs: 10 },
    model: new TextEncoder().encode(content),
    recipe: new TextEncoder().encode(`recipe of ${content}`),
  };
}

describe("a family's folder", () => {
  test('has the files that its manifest names, and no others of an earlier family', async () => {
    await using folder = await temporaryFolder();
    await writeFamily(folder.path, MANIFEST, [level(1, 'old'), level(2, 'kept')]);
    await writeFile(join(folder.path, 'blobs', 'notes.txt'), "somebody's own");
    const family = await writeFamily(folder.path, { ...MANIFEST, version: 2 }, [
      level(2, 'kept'),
      level(3, 'new'),
    ]);
    expect(family.manifest).toMatchObject({ format: 1, version: 2 });
    const expected = ['kept', 'new'].flatMap((content) => [
      `${sha256(content)}.onnx`,
      `${sha256(`recipe of ${content}`)}.recipe`,
    ]);
    expect((await readdir(join(folder.path, 'blobs'))).sort()).toEqual([...expected, 'notes.txt'].sort());
  });

  test('is not written over unless that is asked for', async () => {
    await using folder = await temporaryFolder();
    expect(await checkTarget({ folder: folder.path, replace: false })).toBe(1);
    await writeFamily(folder.path, MANIFEST, [level(1, 'one')]);
    const again = checkTarget({ folder: folder.path, replace: false });
    await expect(again).rejects.toThrow(/there is a family already; --replace/);
    expect(await checkTarget({ folder: folder.path, replace: true })).toBe(2);
    const older = checkTarget({ folder: folder.path, replace: true, version: 1 });
    await expect(older).rejects.toThrow(/version 1 is there, and versions only go up/);
  });

  test('is refused with levels that are not in the order of their latency', async () => {
    await using folder = await temporaryFolder();
    const writing = writeFamily(folder.path, MANIFEST, [level(2, 'slow'), level(1, 'quick')]);
    await expect(writing).rejects.toThrow(/not in order of cost/);
  });
});

test('levels are chosen of those that nothing beats in both respects, the fastest and the best always', () => {
  const best = [1, 2, 4, 5, 9].map((latencyMs) => ({ latencyMs, accuracy: 0.9 + latencyMs / 100 }));
  const beaten = { latencyMs: 3, accuracy: 0.91 };
  expect(chooseLevels([beaten, ...best.toReversed()], 6)).toEqual(best);
  for (const count of [2, 3, 4]) {
    const chosen = chooseLevels([beaten, ...best], count);
    expect(chosen).toHaveLength(count);
    expect([chosen[0], chosen.at(-1)]).toEqual([best[0], best.at(-1)]);
  }
});

test('a front is read back as it was written', () => {
  const architecture = extremeArchitecture(mobileNetV3Space({ widthMultiplier: 1 }), 'largest');
  const front = {
    points: [{ architecture, precision: 'int8' as const, latencyMs: 1.5, accuracy: 0.75 }],
    provenance: { search: 'seed 1' },
  };
  expect(frontParser()(JSON.parse(JSON.stringify(writtenFront(front))), 'front')).toEqual(front);
  expect(() => frontParser()({ ...writtenFront(front), points: [] }, 'front')).toThrow('front at /points');
});

test('a place that cannot be written to is refused before any work', async () => {
  await using folder = await temporaryFolder();
  const file = join(folder.path, 'file');
  await writeFile(file, '');
  await expect(checkTarget({ folder: file, replace: true })).rejects.toMatchObject({ code: 'config' });
});

test('a family whose recipe is gone, or has no backbone to go with, is refused', async () => {
  await using folder = await temporaryFolder();
  const { manifest } = await writeFamily(folder.path, MANIFEST, [level(1, 'one')]);
  const [first] = manifest.levels;
  if (first?.recipe === undefined) throw new Error('the level has a recipe');
  await rm(recipePath(folder.path, first.recipe));
  await expect(readFamily(folder.path)).rejects.toThrow(/level 0: its recipe .* cannot be read/);
  const { backbone, ...bare } = MANIFEST;
  expect(backbone).toBeDefined();
  await expect(writeFamily(folder.path, bare, [level(1, 'one')])).rejects.toThrow(/no backbone/);
});

describe('the names of classes', () => {
  test.each([
    ['a list', '["x", "y"]'],
    ['lines', 'x\r\n\n y \n'],
  ])('are read from %s', (_, text) => {
    expect(parseLabels(text, 'labels')).toEqual(['x', 'y']);
  });

  test('are their numbers where nobody names them, and as many as there are classes', () => {
    const dataset: Pick<Dataset, 'labels'> = {};
    expect(labelsOf(undefined, dataset, 3)).toEqual(['0', '1', '2']);
    expect(labelsOf(undefined, { labels: ['x', 'y'] }, 2)).toEqual(['x', 'y']);
    expect(() => labelsOf(['x', 'y'], dataset, 3)).toThrow('2 labels for 3 classes');
  });
});

test('samples are the extremes of every resolution and then random ones, the same for a seed', () => {
  const space = KNOWN_SPACES.get('fashion-mnist') ?? mobileNetV3Space({ widthMultiplier: 1 });
  const plan = { counts: { fp32: 12, int8: 3 }, seed: 5 };
  const samples = plannedSamples(space, plan);
  expect(samples).toEqual(plannedSamples(space, plan));
  expect(samples.map(({ precision }) => precision)).toEqual([
    ...Array(12).fill('fp32'),
    ...Array(3).fill('int8'),
  ]);
  const extremes = samples.slice(0, 8).map(({ architecture }) => [architecture.r, architecture.d[0]]);
  expect(extremes).toEqual(
    space.resolutions.flatMap((r) => [
      [r, 2],
      [r, 4],
    ]),
  );
});
