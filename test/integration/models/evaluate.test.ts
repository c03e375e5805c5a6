import { mkdir, readFile, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import onnxProto from 'onnx-proto';
import sharp from 'sharp';
import Type from 'typebox';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { datasetSpec } from '../../../models/bundled.ts';
import { calibratedRecipe } from '../../../models/calibrate/recipe.ts';
import { openCalibration } from '../../../models/cli/cut-options.ts';
import type { Dataset } from '../../../models/datasets/dataset.ts';
import { openDataset } from '../../../models/datasets/open.ts';
import { evaluateModel } from '../../../models/evaluate/evaluate.ts';
import { extremeArchitecture } from '../../../models/ofa/architecture.ts';
import { cutModel } from '../../../models/ofa/cut.ts';
import { confidenceOf } from '../../../shared/logits.ts';
import { parseJson, parserOf } from '../../../shared/schema.ts';
import { BUNDLED_IMAGES, BUNDLED_LABELS, bundledBackbone } from '../../support/bundled.ts';
import { ofaModels } from '../../support/models-cli.ts';
import { writeModel } from '../../support/onnx-models.ts';
import { referencePath, testWithReference } from '../../support/reference.ts';
import { temporaryFolder } from '../../support/temp.ts';

const FAMILY = 'family-fashion-mnist/family.json';
const { onnx } = onnxProto;

const parseFamily = parserOf(
  Type.Object({
    labels: Type.Array(Type.String()),
    levels: Type.Array(
      Type.Object({
        file: Type.String(),
        top1: Type.Number(),
        logitsOfFirst4TestImages: Type.Array(Type.Array(Type.Number())),
      }),
    ),
  }),
);

async function referenceFamily() {
  return parseJson(await readFile(referencePath(FAMILY), 'utf8'), parseFamily, FAMILY);
}

async function testImages(labels?: readonly string[]): Promise<Dataset> {
  const options = labels === undefined ? {} : { labels };
  return await openDataset(`${BUNDLED_IMAGES},${BUNDLED_LABELS}`, options);
}

/** A classifier of floats that leaves its batch open: image -> sums of its pixels with fixed signs. */
function floatModel(batch: number | undefined): Uint8Array {
  const size = 28 * 28;
  const dim = (dimValue: number | undefined) =>
    dimValue === undefined ? { dimParam: 'batch' } : { dimValue };
  const value = (name: string, dims: readonly (number | undefined)[]) => ({
    name,
    type: { tensorType: { elemType: 1, shape: { dim: dims.map(dim) } } },
  });
  const weights = Float32Array.from({ length: size * 10 }, (_, index) => Math.sin(index));
  return onnx.ModelProto.encode(
    onnx.ModelProto.create({
      irVersion: 8,
      opsetImport: [{ domain: '', version: 13 }],
      graph: {
        name: 'floats',
        input: [value('x', [batch, 1, 28, 28])],
        output: [value('y', [batch, 10])],
        initializer: [{ name: 'w', dims: [size, 10], dataType: 1, rawData: new Uint8Array(weights.buffer) }],
        node: [
          { opType: 'Flatten', input: ['x'], output: ['flat'] },
          { opType: 'MatMul', input: ['flat', 'w'], output: ['y'] },
        ],
      },
    }),
  ).finish();
}

const PREPROCESS = { mean: [0.5], std: [0.5] };

describe('evaluation', () => {
  testWithReference(FAMILY, 'gives the accuracy that was measured elsewhere', async () => {
    const { labels, levels } = await referenceFamily();
    const dataset = await testImages(labels);
    const [level] = levels;
    const model = referencePath('family-fashion-mnist', level?.file ?? '');
    const told: number[] = [];
    const { perClass, ...evaluation } = await evaluateModel({
      model,
      dataset,
      onProgress: (done, total) => told.push(done / total),
    });
    expect(evaluation).toMatchObject({ count: 10_000, accuracy: level?.top1, nonFinite: 0 });
    expect(told.at(-1)).toBe(1);
    expect(perClass.map(({ label }) => label)).toEqual(labels);
    expect(perClass.every(({ count }) => count === 1_000)).toBe(true);
  });

  testWithReference(FAMILY, 'sees the logits that were measured elsewhere, on every level', async () => {
    const { levels } = await referenceFamily();
    const dataset = await testImages();
    for (const { file, logitsOfFirst4TestImages } of levels) {
      const logits = logitsOfFirst4TestImages.map((values) => Float32Array.from(values));
      const model = await readFile(referencePath('family-fashion-mnist', file));
      const evaluation = await evaluateModel({ model, dataset, limit: 4 });
      const confidence = logits.reduce((sum, values) => sum + confidenceOf(values) / 4, 0);
      expect(evaluation.meanConfidence).toBeCloseTo(confidence, 4);
      expect([...evaluation.predictions]).toEqual(
        logits.map((values) => values.indexOf(Math.max(...values))),
      );
    }
  });

  it('takes models of floats, in batches, fixed or open, with the same result', async () => {
    const dataset = await testImages();
    const evaluations = await Promise.all(
      [undefined, 1, 7].map((batch) =>
        evaluateModel({ model: floatModel(batch), dataset, limit: 40, preprocess: PREPROCESS }),
      ),
    );
    const [open, ...fixed] = evaluations;
    expect(new Set(open?.predictions).size).toBeGreaterThan(1);
    for (const one of fixed) expect(one.predictions).toEqual(open?.predictions);
  });

  it('counts images whose logits are not finite as wrong', async () => {
    await using folder = await temporaryFolder();
    const model = join(folder.path, 'nan.onnx');
    await writeModel(model, { notFinite: true });
    const evaluation = await evaluateModel({ model, dataset: await testImages(), limit: 5 });
    expect(evaluation).toMatchObject({ count: 5, correct: 0, nonFinite: 5, meanConfidence: 0 });
  });

  it('stops between two images', async () => {
    await using folder = await temporaryFolder();
    const model = join(folder.path, 'm.onnx');
    await writeModel(model);
    const stop = new AbortController();
    const dataset = await testImages();
    let turns = 0;
    const turn = (): void => {
      turns += 1;
      if (turns === 20) stop.abort(new Error('enough'));
      else setImmediate(turn);
    };
    setImmediate(turn);
    await expect(evaluateModel({ model, dataset, signal: stop.signal })).rejects.toThrow('enough');
  });
});

describe('evaluation is refused', () => {
  const bytes = floatModel(undefined);

  it.each([
    ['floats without their preparation', {}, /mean and std of the pixels are not given/],
    ['another resolution', { preprocess: { ...PREPROCESS, resolution: 20 } }, /images of 28 x 28, .* is 20/],
    ['a limit of nothing', { limit: 0 }, /limit: 0, expected/],
  ])('for %s', async (_case, options, message) => {
    const dataset = await testImages();
    await expect(evaluateModel({ model: bytes, dataset, ...options })).rejects.toThrow(message);
  });

  it.each([
    ['takes other frames', { inputShape: [1, 14, 14, 1] }, /takes frames of 14 x 14 x 1, .* has 28 x 28 x 1/],
    ['has fewer classes', { classes: 4 }, /image 0 has label 9, .*m\.onnx has 4 classes/],
    [
      'takes another batch',
      { inputShape: [2, 28, 28, 1] },
      /input "image" is uint8 \[2, 28, 28, 1\], expected/,
    ],
  ])('for a model that %s', async (_case, spec, message) => {
    await using folder = await temporaryFolder();
    const model = join(folder.path, 'm.onnx');
    await writeModel(model, spec);
    await expect(evaluateModel({ model, dataset: await testImages() })).rejects.toThrow(message);
  });

  it('for a file that is no model', async () => {
    await using folder = await temporaryFolder();
    const model = join(folder.path, 'm.onnx');
    const dataset = await testImages();
    await expect(evaluateModel({ model, dataset })).rejects.toMatchObject({
      code: 'not-found',
      message: `${model}: there is no such file`,
    });
    await writeFile(model, 'this is no model');
    await expect(evaluateModel({ model, dataset })).rejects.toThrow(/m\.onnx: cannot be loaded/);
  });
});

describe('subnet evaluate --model, on files', () => {
  const IMAGES = 40;
  const LABELS = join(datasetSpec('fashion-mnist'), 'labels.txt');
  let folder: Awaited<ReturnType<typeof temporaryFolder>>;
  let correct: number;

  /** A cut that takes frames and one that takes floats, and the test set's first images in a folder per class. */
  beforeAll(async () => {
    folder = await temporaryFolder();
    const backbone = await bundledBackbone();
    const images = await openDataset(datasetSpec('fashion-mnist-calibration'), { count: 200 });
    const architecture = extremeArchitecture(backbone.space, 'smallest');
    const recipe = await calibratedRecipe({
      backbone,
      architecture,
      precision: 'fp32',
      images,
      batchSize: 200,
    });
    const frames = cutModel(backbone, recipe);
    await writeFile(at('frames.onnx'), frames);
    await writeFile(at('floats.onnx'), cutModel(backbone, recipe, { type: 'float32' }));
    const dataset = await openDataset(datasetSpec('fashion-mnist'), { count: IMAGES });
    await writeClassFolder(dataset, at('val'));
    const evaluation = await evaluateModel({ model: frames, dataset });
    correct = evaluation.correct;
    expect(correct).toBeGreaterThan(IMAGES / 2);
  });
  afterAll(() => folder[Symbol.asyncDispose]());

  const at = (name: string): string => join(folder.path, name);

  async function writeClassFolder(dataset: Dataset, root: string): Promise<void> {
    for (let index = 0; index < dataset.count; index += 1) {
      const name = (dataset.labels?.[dataset.label(index)] ?? '').replace('/', '-');
      await mkdir(join(root, name), { recursive: true });
      const raw = { width: 28, height: 28, channels: 1 } as const;
      const png = sharp(await dataset.image(index), { raw })
        .toColourspace('b-w')
        .png();
      await png.toFile(join(root, name, `${index}.png`));
    }
  }

  async function evaluated(...args: readonly string[]) {
    const { code, stdout, stderr } = await ofaModels('subnet', 'evaluate', ...args, '-o', 'json');
    const parse = parserOf(Type.Object({ correct: Type.Integer(), count: Type.Integer() }));
    return { code, stderr, result: code === 0 ? parseJson(stdout, parse, 'stdout') : undefined };
  }

  it('has the accuracy of the same images in IDX, with frames or floats', async () => {
    const on = (model: string) => evaluated('--model', at(model), '--data', at('val'), '--labels', LABELS);
    const [frames, floats] = await Promise.all([on('frames.onnx'), on('floats.onnx')]);
    expect(frames).toMatchObject({ code: 0, result: { correct, count: IMAGES } });
    expect(frames.stderr).not.toMatch(/order of their names/);
    expect(floats).toMatchObject({ code: 0, result: { correct, count: IMAGES } });
    expect(floats.stderr).toMatch(/mean 0\.286 and std 0\.353 are those of --backbone fashion-mnist/);
  });

  it('says when it guessed the order of the classes', async () => {
    const guessed = await evaluated('--model', at('frames.onnx'), '--data', at('val'));
    expect(guessed.stderr).toMatch(/val: its classes are numbered .*: Ankle boot, Bag, .*--labels FILE/);
    expect(guessed.result?.correct).toBeLessThan(correct);
  });

  it("has a bundled backbone's classes in its order, and a part of the images from many of them", async () => {
    const { stderr, result } = await evaluated('--arch', 'smallest', '--data', at('val'), '--limit', '20');
    expect(stderr).not.toMatch(/order of their names/);
    expect(result?.count).toBe(20);
  });

  it('is refused for a missing file, and a crop of nothing', async () => {
    const [missing, cropped] = await Promise.all([
      evaluated('--model', at('nowhere.onnx'), '--data', at('val')),
      evaluated('--arch', 'smallest', '--crop', '0', '--data', at('val')),
    ]);
    expect(missing.code).toBe(3);
    expect(missing.stderr).toMatch(/nowhere\.onnx: there is no such file$/m);
    expect(cropped.code).toBe(2);
    expect(cropped.stderr).toMatch(/--crop: '0' leaves nothing/);
  });

  it('calibration takes images without classes, and says when they are fewer', async () => {
    const notes: string[] = [];
    const flags = { calibration: at('val/Bag'), calibrationImages: '30', batchSize: '5' };
    const { signal } = new AbortController();
    const open = async (calibrationImages: string) =>
      await openCalibration(
        await bundledBackbone(),
        { ...flags, calibrationImages },
        undefined,
        signal,
        (line) => notes.push(line),
      );
    expect((await open('2')).count).toBe(2);
    expect(notes).toEqual([]);
    const { count } = await open('30');
    expect(notes).toEqual([`Bag: has ${count} images to calibrate on, 30 were asked for`]);
  });
});
