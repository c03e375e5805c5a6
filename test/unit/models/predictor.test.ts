import { readFile } from 'node:fs/promises';
import { describe, expect, test } from 'vitest';
import { sampleArchitectures } from '../../../models/latency/sample.ts';
import { architectureParser } from '../../../models/ofa/architecture.ts';
import { parseSafetensors } from '../../../models/ofa/safetensors.ts';
import { mobileNetV3Space } from '../../../models/ofa/spaces.ts';
import type { Candidate } from '../../../models/predictor/accuracy-predictor.ts';
import { fitPredictor, fittedFileParser, loadFitted } from '../../../models/predictor/fitted.ts';
import { publishedMlp } from '../../../models/predictor/published-mlp.ts';
import { seededRandom } from '../../../shared/random.ts';
import { publishedSpace } from '../../bench/models-search.ts';
import { referencePath, testWithReference } from '../../support/reference.ts';
import { smallSpace } from '../../support/search-space.ts';

const WEIGHTS = 'dynamic-ofa/acc_predictor.safetensors';

async function publishedWeights() {
  return parseSafetensors(await readFile(referencePath(WEIGHTS)), WEIGHTS);
}

const empty = { tensors: new Map(), metadata: {} };

describe('the published accuracy predictor', () => {
  testWithReference('dynamic-ofa/acc_pairs.json', 'gives what the published code gives', async () => {
    const { archs } = JSON.parse(await readFile(referencePath('dynamic-ofa', 'acc_pairs.json'), 'utf8')) as {
      archs: { arch: unknown; acc: number }[];
    };
    const predictor = await publishedMlp(await publishedWeights(), publishedSpace());
    const accuracies = await predictor.predict(
      archs.map(({ arch }) => ({ architecture: architectureParser()(arch, 'pair'), precision: 'fp32' })),
    );
    await predictor.close();
    expect(archs.length).toBeGreaterThan(0);
    for (const [index, { acc }] of archs.entries()) {
      expect(Math.abs((accuracies[index] ?? 0) - acc)).toBeLessThan(1e-6);
    }
  });

  testWithReference(WEIGHTS, 'tells neighbouring resolutions apart once it is made continuous', async () => {
    const weights = await publishedWeights();
    const space = publishedSpace();
    const [exact, continuous] = [
      await publishedMlp(weights, space),
      await publishedMlp(weights, space, { continuousResolution: true }),
    ];
    const [architecture] = sampleArchitectures(space, { resolutions: [208], count: 1, seed: 3 });
    const at = (r: number): Candidate[] =>
      architecture === undefined ? [] : [{ architecture: { ...architecture, r }, precision: 'fp32' }];
    const said = async (predictor: typeof exact, r: number): Promise<number> =>
      (await predictor.predict(at(r)))[0] ?? Number.NaN;
    const [low, high] = [await said(exact, 208), await said(exact, 224)];
    expect(await said(exact, 220)).toBe(low);
    expect(await said(continuous, 208)).toBe(low);
    expect(await said(continuous, 224)).toBe(high);
    expect(await said(continuous, 220)).toBeCloseTo(0.25 * low + 0.75 * high, 6);
    await exact.close();
    await continuous.close();
  });

  testWithReference(WEIGHTS, 'refuses int8, of which it knows nothing', async () => {
    const predictor = await publishedMlp(await publishedWeights(), publishedSpace());
    const [architecture] = sampleArchitectures(publishedSpace(), { resolutions: [208], count: 1, seed: 3 });
    const candidates: Candidate[] = architecture === undefined ? [] : [{ architecture, precision: 'int8' }];
    await expect(predictor.predict(candidates)).rejects.toThrow('knows fp32 only, not int8');
    await predictor.close();
  });

  test.each([
    ['stages', smallSpace(), 'knows stages 5, the space has 2'],
    ['kernels', { ...publishedSpace(), kernelSizes: [3, 9] }, 'knows kernel sizes 3, 5, 7, the space has 9'],
    [
      'resolutions',
      { ...publishedSpace(), resolutions: [256] },
      'knows resolutions 112 to 239, the space has 256',
    ],
  ])('refuses a space of other %s', async (_, space, message) => {
    await expect(publishedMlp(empty, space)).rejects.toThrow(message);
  });

  test('names a tensor that is missing', async () => {
    await expect(publishedMlp(empty, mobileNetV3Space({ widthMultiplier: 1 }))).rejects.toThrow(
      'tensor 0.weight is missing, expected [400, 128]',
    );
  });
});

describe('a predictor fitted to samples', () => {
  const space = publishedSpace();
  const truth = ({ ks, e, d, r }: Candidate['architecture']): number => {
    const running = ks.map((_, block) => block % 4 < (d[Math.floor(block / 4)] ?? 0));
    const mean = (values: readonly number[]): number =>
      values.reduce((sum, value, block) => sum + (running[block] ? value : 0), 0) / 20;
    return 0.7 + 0.004 * mean(ks) + 0.008 * mean(e) + 0.0004 * (r - 160);
  };
  const samplesOf = (count: number, seed: number, noise: number) => {
    const random = seededRandom(seed);
    return sampleArchitectures(space, { resolutions: space.resolutions, count, seed }).map(
      (architecture, index) => {
        const precision = index % 3 === 0 ? ('int8' as const) : ('fp32' as const);
        const offset = precision === 'int8' ? 0.012 : 0;
        return { architecture, precision, accuracy: truth(architecture) - offset + noise * random.normal() };
      },
    );
  };

  test('foretells new networks from 60 noisy samples, and knows how well', async () => {
    const predictor = fitPredictor(space, samplesOf(60, 1, 0.003));
    const fresh = samplesOf(200, 2, 0);
    const predicted = await predictor.predict(fresh);
    const squares = fresh.map(({ accuracy }, index) => (accuracy - (predicted[index] ?? 0)) ** 2);
    const rmse = Math.sqrt(squares.reduce((sum, square) => sum + square, 0) / squares.length);
    expect(rmse).toBeLessThan(0.003);
    expect(predictor.quality).toMatchObject({ samples: 60 });
    expect(predictor.quality.rmse).toBeGreaterThan(rmse);
    expect(predictor.quality.rmse).toBeLessThan(0.006);
    expect(predictor.quality.r2).toBeGreaterThan(0.6);
    expect(predictor.quality.kendallTau).toBeGreaterThan(0.5);
  });

  test('learns what int8 costs', async () => {
    const predictor = fitPredictor(space, samplesOf(120, 4, 0.001));
    const [{ architecture } = { architecture: undefined }] = samplesOf(1, 9, 0);
    if (architecture === undefined) throw new Error('no sample');
    const [fp32 = 0, int8 = 0] = Array.from(
      await predictor.predict([
        { architecture, precision: 'fp32' },
        { architecture, precision: 'int8' },
      ]),
    );
    expect(fp32 - int8).toBeGreaterThan(0.006);
    expect(fp32 - int8).toBeLessThan(0.018);
  });

  test('admits that it knows nothing where samples are noise', () => {
    const random = seededRandom(5);
    const samples = samplesOf(60, 6, 0).map((one) => ({ ...one, accuracy: 0.75 + 0.003 * random.normal() }));
    expect(fitPredictor(space, samples).quality.r2).toBeLessThan(0.2);
  });

  test('is read back to an equal predictor, in its own space only', async () => {
    const samples = samplesOf(40, 7, 0.003);
    const predictor = fitPredictor(space, samples);
    const file = fittedFileParser()(JSON.parse(JSON.stringify(predictor.file)), 'predictor');
    const again = loadFitted(space, file, 'predictor');
    expect(await again.predict(samples)).toEqual(await predictor.predict(samples));
    expect(again.quality).toEqual(predictor.quality);
    expect(() => loadFitted(smallSpace(), file, 'p.json')).toThrow('p.json: has no weight for r20');
  });

  test('copes with samples that are all equal', () => {
    const samples = samplesOf(10, 8, 0).map((one) => ({ ...one, accuracy: 0.75 }));
    expect(fitPredictor(space, samples).quality).toEqual({ samples: 10, rmse: 0, r2: 0, kendallTau: null });
  });

  test.each([
    ['too few samples', samplesOf(3, 1, 0), '3 samples, expected 8 to 2000'],
    [
      'an accuracy in percent',
      samplesOf(9, 1, 0).map((one) => ({ ...one, accuracy: 75 })),
      'sample 0: accuracy',
    ],
    [
      'samples of another space',
      samplesOf(9, 1, 0).map((one) => ({ ...one, architecture: { ...one.architecture, r: 1 } })),
      'sample 0: r is 1',
    ],
  ])('refuses %s', (_, samples, message) => {
    expect(() => fitPredictor(space, samples)).toThrow(message);
  });
});
