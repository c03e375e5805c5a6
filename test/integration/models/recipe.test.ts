import fc from 'fast-check';
import { describe, expect, test } from 'vitest';
import { extremeArchitecture } from '../../../models/ofa/architecture.ts';
import { cutModel, networkOf, packRanges } from '../../../models/ofa/cut.ts';
import { extractSubNetwork } from '../../../models/ofa/extract.ts';
import { foldNorm } from '../../../models/ofa/fold.ts';
import { batchNorms } from '../../../models/ofa/network.ts';
import { quantisedTensors } from '../../../models/ofa/quantise/int8-model.ts';
import { decodeRecipe, encodeRecipe, packStatistics, type Recipe } from '../../../models/ofa/recipe.ts';
import { spaceParser, specOf } from '../../../models/ofa/space.ts';
import { KNOWN_SPACES, mobileNetV3Space } from '../../../models/ofa/spaces.ts';
import { sha256 } from '../../../shared/files.ts';
import { anyArchitecture } from '../../support/architectures.ts';
import { randomBackbone } from '../../support/random-backbone.ts';
import { greatestDifference, runModel } from '../../support/run-model.ts';

const space = KNOWN_SPACES.get('fashion-mnist') ?? mobileNetV3Space({ widthMultiplier: 1 });
const backbone = randomBackbone(space, 1);

function recipeOf(architecture = extremeArchitecture(space, 'smallest')): Recipe {
  const network = extractSubNetwork(backbone, architecture);
  const statistics = new Map(batchNorms(network).map((norm) => [norm.name, norm]));
  return { backbone: backbone.id, architecture, frame: [28, 28], ...packStatistics(network, statistics) };
}

function int8Recipe(): Recipe {
  const recipe = recipeOf();
  const names = quantisedTensors(networkOf(backbone, recipe));
  const ranges = new Map(names.map((name, index) => [name, { min: -1 - index / 64, max: 2 }]));
  return { ...recipe, quantisation: packRanges(networkOf(backbone, recipe), ranges) };
}

describe('a recipe', () => {
  test('is read back as it was written, and gives the same model', () => {
    for (const recipe of [recipeOf(), int8Recipe()]) {
      const bytes = encodeRecipe(recipe);
      expect(sha256(encodeRecipe(recipe))).toBe(sha256(bytes));
      const read = decodeRecipe(bytes, 'recipe');
      expect(read).toEqual(recipe);
      expect(sha256(cutModel(backbone, read))).toBe(sha256(cutModel(backbone, recipe)));
    }
  });

  test('gives the model that its backbone gives in another process', () => {
    expect(randomBackbone(space, 1).id).toBe(backbone.id);
    expect(sha256(cutModel(randomBackbone(space, 1), recipeOf()))).toBe(
      sha256(cutModel(backbone, recipeOf())),
    );
  });

  test('of another backbone is refused', () => {
    expect(() => cutModel(randomBackbone(space, 2), recipeOf())).toThrow(
      `recipe: it is for the backbone ${backbone.id}`,
    );
  });

  test('with statistics of another architecture is refused', () => {
    const other = recipeOf(extremeArchitecture(space, 'largest'));
    const { architecture } = recipeOf();
    expect(() => cutModel(backbone, { ...other, architecture })).toThrow(
      /statistics of \d+ and \d+ channels/,
    );
  });

  test('with a variance below zero is refused', () => {
    const recipe = recipeOf();
    expect(() => cutModel(backbone, { ...recipe, variance: recipe.variance.with(3, -1) })).toThrow(
      'recipe: a variance is below zero',
    );
  });

  test('of other rules than this version has is refused', () => {
    const recipe = int8Recipe();
    const quantisation = { quantiser: 99, ranges: recipe.quantisation?.ranges ?? new Float32Array() };
    expect(() => cutModel(backbone, { ...recipe, quantisation })).toThrow(
      'recipe: quantised by rules of version 99',
    );
  });

  test('that is cut short or altered never gives anything but an error of ours or a recipe', () => {
    const bytes = encodeRecipe(recipeOf());
    const anyDamage = fc.record({ at: fc.nat(bytes.length - 1), to: fc.nat(255), cut: fc.boolean() });
    fc.assert(
      fc.property(anyDamage, ({ at, to, cut }) => {
        const damaged = cut ? bytes.slice(0, at) : bytes.with(at, to);
        try {
          decodeRecipe(damaged, 'recipe');
        } catch (error) {
          expect(error).toMatchObject({ name: 'AppError' });
        }
      }),
    );
  });
});

test('frames are resized and normalised inside of the graph as outside of it', async () => {
  const recipe = recipeOf({ ...extremeArchitecture(space, 'smallest'), r: 28 });
  const frame = Uint8Array.from({ length: 28 * 28 }, (_, index) => (index * 37) % 256);
  const [mean = 0] = space.mean;
  const [std = 1] = space.std;
  const normalised = Float32Array.from(frame, (pixel) => (pixel / 255 - mean) / std);
  const inside = await runModel(cutModel(backbone, recipe), frame, [1, 28, 28, 1]);
  const outside = await runModel(cutModel(backbone, recipe, { type: 'float32' }), normalised, [1, 1, 28, 28]);
  expect(greatestDifference(inside, outside)).toBeLessThan(1e-4);
});

test('any architecture of the space gives a model that runs', async () => {
  const frame = new Uint8Array(28 * 28).fill(128);
  await fc.assert(
    fc.asyncProperty(anyArchitecture(space), async (architecture) => {
      const logits = await runModel(cutModel(backbone, recipeOf(architecture)), frame, [1, 28, 28, 1]);
      expect(logits).toHaveLength(10);
      expect(logits.every(Number.isFinite)).toBe(true);
    }),
    { numRuns: 15 },
  );
});

test('another space gives networks of its own shape', async () => {
  const parsed = spaceParser()(
    {
      ...specOf(space),
      ks: [3, 5],
      d: [1, 2],
      in_channels: 4,
      mean: 0,
      std: 1,
      resolutions: [24],
      frame: [24, 40],
    },
    'space',
  );
  const other = randomBackbone(parsed, 3);
  const architecture = extremeArchitecture(parsed, 'largest');
  const network = extractSubNetwork(other, architecture);
  const statistics = new Map(batchNorms(network).map((norm) => [norm.name, norm]));
  const recipe: Recipe = {
    backbone: other.id,
    architecture,
    frame: [24, 40],
    ...packStatistics(network, statistics),
  };
  const logits = await runModel(cutModel(other, recipe), new Uint8Array(24 * 40 * 4), [1, 24, 40, 4]);
  expect(logits.every(Number.isFinite)).toBe(true);
});

test('a batch norm that is folded does what it did', () => {
  const { stem } = extractSubNetwork(backbone, extremeArchitecture(space, 'smallest'));
  const { weight, bias } = foldNorm(stem);
  const { mean, variance, weight: gain, bias: shift } = stem.norm;
  for (const [channel, folded] of (bias ?? []).entries()) {
    const scale = (gain[channel] ?? 0) / Math.sqrt((variance[channel] ?? 0) + 1e-5);
    expect(folded).toBeCloseTo((shift[channel] ?? 0) - (mean[channel] ?? 0) * scale, 5);
    expect(weight.data[9 * channel]).toBeCloseTo((stem.convolution.weight.data[9 * channel] ?? 0) * scale, 5);
  }
});

test('frames have the size of the recipe, whatever size the space would have them', async () => {
  const recipe = { ...recipeOf(), frame: [40, 20] as const };
  const logits = await runModel(cutModel(backbone, recipe), new Uint8Array(800), [1, 40, 20, 1]);
  expect(logits).toHaveLength(10);
});
