import { readFile, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import onnxProto from 'onnx-proto';
import Type from 'typebox';
import { describe, expect, it } from 'vitest';
import type { Dataset } from '../../../models/datasets/dataset.ts';
import { openDataset } from '../../../models/datasets/open.ts';
import { evaluateModel } from '../../../models/evaluate/evaluate.ts';
import { confidenceOf } from '../../../shared/logits.ts';
import { parseJson, parserOf } from '../../../shared/schema.ts';
import { BUNDLED_IMAGES, BUNDLED_LABELS } from '../../support/bundled.ts';
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
    await expect(evaluateModel({ model, dataset })).rejects.toThrow(/m\.onnx: cannot be loaded/);
    await writeFile(model, 'this is no model');
    await expect(evaluateModel({ model, dataset })).rejects.toThrow(/m\.onnx: cannot be loaded/);
  });
});
