import { describe, expect, test } from 'vitest';
import { datasetSpec } from '../../models/bundled.ts';
import { calibratedRecipe } from '../../models/calibrate/recipe.ts';
import type { Dataset } from '../../models/datasets/dataset.ts';
import { openDataset } from '../../models/datasets/open.ts';
import { subset } from '../../models/datasets/subset.ts';
import { evaluateModel } from '../../models/evaluate/evaluate.ts';
import type { Architecture } from '../../models/ofa/architecture.ts';
import { extremeArchitecture } from '../../models/ofa/architecture.ts';
import { cutModel } from '../../models/ofa/cut.ts';
import type { Precision } from '../../shared/family/manifest.ts';
import { bundledBackbone } from '../support/bundled.ts';
import { type ReferenceSubNetwork, referenceBackbone, referenceJson } from '../support/ofa-reference.ts';
import { testWithReference } from '../support/reference.ts';
import { greatestDifference, runModel } from '../support/run-model.ts';

const LOGITS_TOLERANCE = 5e-5;
const SAME_PREDICTIONS = 0.999;
const SOME = 2_000;
/** Points of top-1, as a fraction. */
const TOP1_TOLERANCE = 0.0015;

async function cutCalibrated(
  architecture: Architecture,
  { precision = 'fp32', count }: { readonly precision?: Precision; readonly count?: number } = {},
): Promise<Uint8Array> {
  const backbone = await bundledBackbone();
  const all = await openDataset(datasetSpec('fashion-mnist-calibration'));
  const images = count === undefined ? all : subset(all, { count });
  const recipe = await calibratedRecipe({ backbone, architecture, precision, images, batchSize: 200 });
  return cutModel(backbone, recipe);
}

async function testImages(): Promise<Dataset> {
  return await openDataset(datasetSpec('fashion-mnist'));
}

describe('against the real OFA code on Fashion-MNIST', () => {
  const file = 'family-fashion-mnist/subnets.json';

  testWithReference(
    file,
    'every sub-network that we cut and calibrate classifies the test images as it does',
    async () => {
      const dataset = await testImages();
      const { nets } = await referenceJson<{ nets: ReferenceSubNetwork[] }>(file);
      expect(nets.length).toBeGreaterThan(3);
      for (const [
        place,
        { name, arch, top1, test_predictions: expected, logits_first4: logits },
      ] of nets.entries()) {
        // All images through one of them; that logits and the first thousands of answers agree shows the rest.
        const limit = place === 0 ? dataset.count : SOME;
        const model = await cutCalibrated(arch);
        for (const [index, each] of logits.entries()) {
          const actual = await runModel(model, await dataset.image(index), [1, 28, 28, 1]);
          expect([name, greatestDifference(actual, each) < LOGITS_TOLERANCE]).toEqual([name, true]);
        }
        const { accuracy, predictions } = await evaluateModel({
          model,
          what: name,
          dataset,
          threads: 2,
          limit,
        });
        const same = predictions.filter((digit, index) => String(digit) === expected[index]).length;
        expect([name, same / limit >= SAME_PREDICTIONS]).toEqual([name, true]);
        if (limit === dataset.count)
          expect(Math.abs(accuracy - top1 / 100)).toBeLessThanOrEqual(TOP1_TOLERANCE);
      }
    },
    240_000,
  );

  testWithReference(file, 'the bundled backbone has its weights', async () => {
    const { id } = await referenceBackbone('family-fashion-mnist', 'backbone.safetensors');
    expect((await bundledBackbone()).id).toBe(id);
  });
});

test('an int8 sub-network of the bundled backbone stays close to the fp32 one', async () => {
  const { space } = await bundledBackbone();
  const architecture = { ...extremeArchitecture(space, 'smallest'), r: 28 };
  const dataset = await testImages();
  const of = async (precision: Precision) =>
    await evaluateModel({
      // Fewer images than a family is made with: what is close with these is so with more.
      model: await cutCalibrated(architecture, { precision, count: 600 }),
      what: precision,
      dataset,
      limit: 2_000,
    });
  const [fp32, int8] = [await of('fp32'), await of('int8')];
  expect(fp32.accuracy).toBeGreaterThan(0.9);
  expect(Math.abs(int8.accuracy - fp32.accuracy)).toBeLessThan(0.01);
});
