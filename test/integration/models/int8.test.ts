import { describe, expect, test } from 'vitest';
import { type Batch, calibrate } from '../../../models/calibrate/calibrate.ts';
import { collectRanges } from '../../../models/calibrate/ranges.ts';
import { type Architecture, extremeArchitecture } from '../../../models/ofa/architecture.ts';
import { extractSubNetwork } from '../../../models/ofa/extract.ts';
import { floatModel } from '../../../models/ofa/graph/float-model.ts';
import { type SubNetwork, withStatistics } from '../../../models/ofa/network.ts';
import { int8Model, quantisedTensors } from '../../../models/ofa/quantise/int8-model.ts';
import { fullRange } from '../../../models/ofa/quantise/range-rules.ts';
import { bundledBackbone, bundledImages } from '../../support/bundled.ts';
import { randomBackbone } from '../../support/random-backbone.ts';
import { runModel } from '../../support/run-model.ts';

const frame = [28, 28] as const;
const IMAGE_BYTES = 28 * 28;
const images = await bundledImages(500);
const backbone = await bundledBackbone();

function batchOf(from: number, to: number): Batch {
  const data = new Uint8Array((to - from) * IMAGE_BYTES);
  for (const [index, { pixels }] of images.slice(from, to).entries()) data.set(pixels, index * IMAGE_BYTES);
  return { count: to - from, data };
}

/** Other images than those that are compared. */
const CALIBRATION = batchOf(400, 500);

/** A sub-network at 20 x 20 pixels with the statistics of the calibration images. */
async function calibrated(architecture: Architecture): Promise<SubNetwork> {
  const network = extractSubNetwork(backbone, { ...architecture, r: 20 });
  return withStatistics(network, await calibrate(network, [CALIBRATION], { frame }));
}

const smallest = await calibrated(extremeArchitecture(backbone.space, 'smallest'));

/**
 * Logits of both models, and the root of their mean squared difference, as a share of the float ones' root
 * mean square.
 */
async function compare(network: SubNetwork, { count, data }: Batch) {
  const ranges = await collectRanges(network, [CALIBRATION], { frame });
  const form = { type: 'uint8', frame, batch: count } as const;
  const run = async (model: Uint8Array) => await runModel(model, data, [count, ...frame, 1]);
  const float = await run(floatModel(network, form));
  const int8 = await run(int8Model(network, form, ranges));
  const squares = (values: Float32Array) => values.reduce((sum, value) => sum + value * value, 0);
  const difference = float.map((value, index) => value - (int8[index] ?? Number.NaN));
  return { float, int8, error: Math.sqrt(squares(difference) / squares(float)) };
}

function answersOf(logits: Float32Array): number[] {
  return Array.from({ length: logits.length / 10 }, (_, image) => {
    const row = logits.subarray(10 * image, 10 * image + 10);
    return row.indexOf(Math.max(...row));
  });
}

describe('an int8 model', () => {
  test('of random weights gives logits near those of the float model', async () => {
    const { space, architecture } = smallest;
    const network = extractSubNetwork(randomBackbone(space, 1), architecture);
    const { error } = await compare(network, batchOf(0, 50));
    // Statistics of no image leave logits that differ little from image to image: easier than trained ones.
    expect(error).toBeLessThan(0.04);
    expect(error).toBeGreaterThan(0);
  });

  /**
   * A value that is normally distributed and quantised from -4 to 4 standard deviations is off by 8 / 255 /
   * sqrt(12) = 0.9 % of one. Some 45 to 70 values lie one behind the other, and as many layers' weights with
   * errors of this order: independent of each other they add up to sqrt(90..140) x 0.9 % = 8.6..10.7 %.
   */
  test('of trained weights gives the answers of the float model', async () => {
    const { space, architecture } = smallest;
    const mixed = {
      ...architecture,
      ks: architecture.ks.map((_, index) => space.kernelSizes[index % 3] ?? 3),
      e: architecture.e.map((_, index) => space.expandRatios[(index + 1) % 3] ?? 3),
      d: architecture.d.map((_, index) => space.depths[index % 3] ?? 2),
    };
    for (const network of [smallest, await calibrated(mixed)]) {
      const { float, int8, error } = await compare(network, batchOf(0, 400));
      const answers = answersOf(int8);
      const equal = answersOf(float).filter((answer, index) => answer === answers[index]).length;
      expect(error).toBeLessThan(0.08);
      expect(equal).toBeGreaterThanOrEqual(0.97 * 400);
    }
  });

  test('takes one frame, and normalised floats of any number as well', async () => {
    const ranges = await collectRanges(smallest, [batchOf(400, 420)], { frame });
    const model = int8Model(smallest, { type: 'uint8', frame, batch: 1 }, ranges);
    expect(await runModel(model, batchOf(0, 1).data, [1, ...frame, 1])).toHaveLength(10);
    const floats = int8Model(smallest, { type: 'float32' }, ranges);
    expect(await runModel(floats, new Float32Array(3 * 400), [3, 1, 20, 20])).toHaveLength(30);
  });
});

describe('ranges', () => {
  test('are of every value that is quantised, and do not depend on the batches', async () => {
    const progress: number[] = [];
    const options = { frame, rule: fullRange, onProgress: (count: number) => progress.push(count) };
    const whole = await collectRanges(smallest, [batchOf(0, 40)], options);
    expect([...whole.keys()]).toEqual(quantisedTensors(smallest));
    const parts = await collectRanges(smallest, [batchOf(25, 40), batchOf(0, 25)], options);
    expect(parts).toEqual(whole);
    expect(progress).toEqual([40, 15, 40]);
  });

  test('come of normalised floats too', async () => {
    const data = Float32Array.from({ length: 2 * 400 }, (_, index) => Math.sin(index));
    const ranges = await collectRanges(smallest, [{ count: 2, data }], { frame });
    expect(ranges.size).toBe(quantisedTensors(smallest).length);
  });

  test('are refused of no image, of values that are not finite, and after an abort', async () => {
    await expect(collectRanges(smallest, [], { frame })).rejects.toThrow('there is no image');
    const data = new Float32Array(400).fill(Number.NaN);
    await expect(collectRanges(smallest, [{ count: 1, data }], { frame })).rejects.toThrow(
      'range of first_conv.conv.balanced: found the value NaN',
    );
    const signal = AbortSignal.abort(new Error('enough'));
    await expect(collectRanges(smallest, [batchOf(0, 2)], { frame, signal })).rejects.toThrow('enough');
  });
});
