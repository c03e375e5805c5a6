import { existsSync } from 'node:fs';
import { readFile, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { describe, expect, test } from 'vitest';
import { cutModel } from '../../models/ofa/cut.ts';
import { decodeRecipe } from '../../models/ofa/recipe.ts';
import { readFamily, recipePath } from '../../shared/family/read.ts';
import { sha256 } from '../../shared/files.ts';
import { bundledBackbone, bundledImages } from '../support/bundled.ts';
import { ofaModels, startOfaModels } from '../support/models-cli.ts';
import { formulaInput } from '../support/ofa-input.ts';
import { type ReferenceArchitecture, referenceJson } from '../support/ofa-reference.ts';
import { referencePath, testWithReference } from '../support/reference.ts';
import { greatestDifference, runModel } from '../support/run-model.ts';
import { temporaryFolder } from '../support/temp.ts';

/** So few images that a test can evaluate on them. */
const IMAGES = 40;

/** Writes the first of the bundled test images as IDX; returns what names them. */
async function smallDataset(folder: string): Promise<string> {
  const images = await bundledImages(IMAGES);
  const header = (...words: readonly number[]): Uint8Array => {
    const bytes = new DataView(new ArrayBuffer(4 * words.length));
    for (const [index, word] of words.entries()) bytes.setUint32(4 * index, word);
    return new Uint8Array(bytes.buffer);
  };
  const [imagesPath, labelsPath] = [join(folder, 'images'), join(folder, 'labels')];
  const pixels = images.map((image) => image.pixels);
  await writeFile(imagesPath, Buffer.concat([header(0x803, IMAGES, 28, 28), ...pixels]));
  await writeFile(
    labelsPath,
    Buffer.concat([header(0x801, IMAGES), Uint8Array.from(images, ({ label }) => label)]),
  );
  return `${imagesPath},${labelsPath}`;
}

describe('ofa-models', () => {
  testWithReference('ofa/public.json', 'exports what the real OFA code computes', async () => {
    await using folder = await temporaryFolder();
    const { archs } = await referenceJson<{ archs: ReferenceArchitecture[] }>('ofa', 'public.json');
    const chosen = archs.find(({ name }) => name === 'random-2');
    if (chosen === undefined) throw new Error('the reference has no random-2');
    const { arch, input, logits } = chosen;
    const [archPath, out] = [join(folder.path, 'arch.json'), join(folder.path, 'net.onnx')];
    await writeFile(archPath, JSON.stringify({ ...arch, r: [arch.r] }));
    const { code, stdout } = await ofaModels(
      ...['subnet', 'export', '--backbone', referencePath('ofa/supernet_w0.35.pth'), '--arch', archPath],
      ...['--input', 'float32', '--out', out, '-o', 'json'],
    );
    expect(code).toBe(0);
    const model = await readFile(out);
    expect(JSON.parse(stdout)).toMatchObject({ sha256: sha256(model), bytes: model.length });
    const actual = await runModel(model, formulaInput(input.shape, input.phase), input.shape);
    expect(greatestDifference(actual, logits)).toBeLessThan(1e-5);
  });

  test('goes from the bundled backbone to a family whose recipes give its files', async () => {
    await using folder = await temporaryFolder();
    const path = (name: string): string => join(folder.path, name);
    const table = await ofaModels(
      ...['latency-table', 'build', '--resolutions', '20,28', '--rounds', '3', '--check', '6'],
      ...['--out', path('table.json'), '-o', 'json'],
    );
    expect(JSON.parse(table.stdout)).toMatchObject({ networks: 6 });
    const search = await ofaModels(
      ...['search', '--latency-table', path('table.json'), '--evaluations', '3000'],
      ...['--out', path('front.json'), '-o', 'json'],
    );
    expect(JSON.parse(search.stdout).points.length).toBeGreaterThan(5);
    const built = await ofaModels(
      ...['family', 'build', '--front', path('front.json'), '--levels', '2', '--candidates', '3'],
      ...['--calibration', 'fashion-mnist-calibration', '--calibration-images', '200'],
      ...['--data', await smallDataset(folder.path), '--rounds', '5', '--name', 'clothes'],
      ...['--out', path('clothes'), '-o', 'json'],
    );
    expect([built.code, JSON.parse(built.stdout).candidates.length]).toEqual([0, 3]);
    const backbone = await bundledBackbone();
    const family = await readFamily(path('clothes'));
    expect(family.manifest.levels.length).toBeLessThanOrEqual(2);
    for (const { model, recipe } of family.manifest.levels) {
      const bytes = await readFile(recipePath(family.folder, recipe ?? model));
      expect(sha256(cutModel(backbone, decodeRecipe(bytes, 'recipe')))).toBe(model.sha256);
    }
    const shown = await ofaModels('family', 'show', path('clothes'));
    expect(shown.stdout).toMatch(/LEVEL +ACCURACY/);
    const plotted = await ofaModels('family', 'plot', path('clothes'), '--out', path('plot.svg'));
    expect([plotted.code, (await readFile(path('plot.svg'), 'utf8')).slice(0, 4)]).toEqual([0, '<svg']);
    const again = await ofaModels('family', 'plot', path('nothing'), '--out', path('plot.svg'));
    expect(again).toMatchObject({ code: 3, stdout: '' });
  });

  test('takes long work up where a signal has stopped it', async () => {
    await using folder = await temporaryFolder();
    const out = join(folder.path, 'predictor.json');
    const args = [
      ...['predictor', 'fit', '--calibration', 'fashion-mnist-calibration', '--calibration-images', '20'],
      ...['--data', await smallDataset(folder.path), '--samples', '8', '--out', out, '-o', 'json'],
    ];
    const first = startOfaModels(args);
    await new Promise<void>((resolve) => {
      first.child.stderr.on('data', (chunk: Buffer) => {
        if (String(chunk).includes('2/8')) resolve();
      });
    });
    first.child.kill('SIGINT');
    const stopped = await first.ended;
    expect(stopped.code).toBe(6);
    expect(stopped.stderr).toContain('the same command again goes on from here');
    expect(existsSync(`${out}.work`)).toBe(true);
    const second = await ofaModels(...args);
    expect(JSON.parse(second.stdout)).toMatchObject({ samples: 8 });
    expect([existsSync(out), existsSync(`${out}.work`)]).toEqual([true, false]);
  });

  test.each([
    ['an architecture outside of the space', ['--arch', 'ARCH'], 1, /ks\[0\] is 4, the space has 3, 5, 7/],
    ['neither --arch nor --recipe', [], 2, /give either --arch or --recipe/],
    ['a backbone that is not there', ['--arch', 'largest', '--backbone', 'none.pth'], 3, /none\.pth/],
    ['a file without an end', ['--arch', '/dev/zero'], 1, /expected a file/],
    ['int8 without images', ['--arch', 'largest', '--precision', 'int8'], 2, /give --calibration/],
    [
      'a data set of other images',
      ['--arch', 'largest', '--frame', '8x8', '--calibration', 'fashion-mnist'],
      1,
      /28/,
    ],
  ])('refuses %s in one line', async (_, args, code, message) => {
    await using folder = await temporaryFolder();
    const arch = join(folder.path, 'arch.json');
    await writeFile(
      arch,
      JSON.stringify({ ks: Array(20).fill(4), e: Array(20).fill(3), d: [2, 2, 2, 2, 2], r: [20] }),
    );
    const out = join(folder.path, 'net.onnx');
    const given = args.map((word) => (word === 'ARCH' ? arch : word));
    const ended = await ofaModels('subnet', 'export', '--out', out, ...given);
    expect([ended.code, ended.stdout, existsSync(out)]).toEqual([code, '', false]);
    expect(ended.stderr).toMatch(message);
    expect(ended.stderr.trim().split('\n')).toHaveLength(1);
  });
});
