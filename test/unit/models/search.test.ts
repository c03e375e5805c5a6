import fc from 'fast-check';
import { describe, expect, test } from 'vitest';
import { latencyMs } from '../../../models/latency/table.ts';
import { canonicalArchitecture, checkArchitecture } from '../../../models/ofa/architecture.ts';
import { bestUnder } from '../../../models/search/archive.ts';
import { candidateOf, landscapeOf, latencyOf } from '../../../models/search/genome.ts';
import { hypervolume, referenceOf, selectLevels } from '../../../models/search/levels.ts';
import { type SearchOptions, searchFront } from '../../../models/search/search.ts';
import { roughPredictor, smallSpace, smallTable } from '../../support/search-space.ts';

const space = smallSpace();
const tables = { fp32: smallTable(), int8: smallTable(0.8) };

function options(more: Partial<SearchOptions> = {}): SearchOptions {
  return { space, predictor: roughPredictor(), latency: tables, seed: 1, evaluations: 20_000, ...more };
}

const seeds = fc.integer({ min: 0, max: 2 ** 31 });
const bounds = fc.integer({ min: 1, max: 600 });

describe('a search', () => {
  test('finds the whole front of a space that it can look through', async () => {
    const all = await everyPoint();
    const best = all.filter(
      (one) =>
        !all.some(
          (other) =>
            other !== one &&
            other.accuracy >= one.accuracy &&
            other.latencyMs <= one.latencyMs &&
            (other.accuracy > one.accuracy || other.latencyMs < one.latencyMs),
        ),
    );
    const { points } = await searchFront(options());
    expect(points.map(({ accuracy }) => accuracy)).toEqual(
      best.sort((a, b) => a.latencyMs - b.latencyMs).map(({ accuracy }) => accuracy),
    );
  });

  test('gives a rising front of canonical networks of the space, each with its own latency', async () => {
    await fc.assert(
      fc.asyncProperty(seeds, bounds, async (seed, evaluations) => {
        const front = await searchFront(options({ seed, evaluations }));
        expect(front.evaluations).toBeLessThanOrEqual(evaluations);
        for (const [index, { candidate, accuracy, latencyMs: ms }] of front.points.entries()) {
          const { architecture, precision } = candidate;
          checkArchitecture(space, architecture, 'point');
          expect(architecture).toEqual(canonicalArchitecture(space, architecture));
          expect(ms).toBeCloseTo(latencyMs(tables[precision], space, architecture), 9);
          const before = front.points[index - 1];
          expect(ms).toBeGreaterThan(before?.latencyMs ?? 0);
          expect(accuracy).toBeGreaterThan(before?.accuracy ?? 0);
        }
      }),
      { numRuns: 20 },
    );
  });

  test('never asks the predictor for more than the bound allows, nor twice for one network', async () => {
    await fc.assert(
      fc.asyncProperty(seeds, bounds, async (seed, evaluations) => {
        const asked: string[] = [];
        const rough = roughPredictor();
        const predictor: typeof rough = {
          name: 'counting',
          predict: async (candidates) => {
            asked.push(...candidates.map((candidate) => JSON.stringify(candidate)));
            return await rough.predict(candidates);
          },
        };
        const front = await searchFront(options({ predictor, seed, evaluations }));
        expect(asked.length).toBe(front.evaluations);
        expect(new Set(asked).size).toBe(asked.length);
        expect(asked.length).toBeLessThanOrEqual(evaluations);
      }),
      { numRuns: 10 },
    );
  });

  test('gives equal fronts for equal seeds', async () => {
    await fc.assert(
      fc.asyncProperty(seeds, bounds, async (seed, evaluations) => {
        const [one, other] = [
          await searchFront(options({ seed, evaluations })),
          await searchFront(options({ seed, evaluations })),
        ];
        expect(one).toEqual(other);
      }),
      { numRuns: 10 },
    );
  });

  test('keeps to constraints, to the narrowed space and to the precisions that have a table', async () => {
    const restrict = { ks: [3], e: [3, 6], d: [2], r: [28] };
    const whole = await searchFront(options({ restrict, latency: { fp32: tables.fp32 } }));
    for (const { candidate } of whole.points) {
      expect(candidate.precision).toBe('fp32');
      expect(candidate.architecture).toMatchObject({ r: 28, d: [2, 2], ks: [3, 3, 3, 3] });
    }
    const middle = whole.points[Math.floor(whole.points.length / 2)];
    const constraints = { maxLatencyMs: middle?.latencyMs ?? 0, minAccuracy: whole.points[0]?.accuracy ?? 0 };
    const limited = await searchFront(options({ restrict, latency: { fp32: tables.fp32 }, constraints }));
    expect(limited.points.at(-1)).toEqual(bestUnder(whole.points, constraints.maxLatencyMs));
  });

  test('searches through a space of one network', async () => {
    const restrict = { ks: [3], e: [3], d: [1], r: [20] };
    const front = await searchFront(options({ restrict, latency: { fp32: tables.fp32 } }));
    expect(front.points).toHaveLength(1);
    expect(front.evaluations).toBe(1);
  });

  test('says how far it is, and stops when it is told to', async () => {
    const controller = new AbortController();
    const steps: number[] = [];
    const search = searchFront(
      options({
        signal: controller.signal,
        onProgress: ({ evaluations }) => {
          steps.push(evaluations);
          controller.abort(new Error('enough'));
        },
      }),
    );
    await expect(search).rejects.toThrow('enough');
    expect(steps).toHaveLength(1);
  });

  test.each([
    ['a bound of 0', { evaluations: 0 }, 'evaluations are a whole number'],
    ['a bound without end', { evaluations: Number.POSITIVE_INFINITY }, 'evaluations are a whole number'],
    ['a seed that is no whole number', { seed: 0.5 }, 'the seed is a whole number'],
    ['a limit of NaN', { constraints: { maxLatencyMs: Number.NaN } }, 'the latency limit is above 0 ms'],
    ['an accuracy in percent', { constraints: { minAccuracy: 75 } }, 'the least accuracy is a fraction'],
    ['a limit that nothing meets', { constraints: { maxLatencyMs: 0.01 } }, 'nothing takes 0.01 ms or less'],
    [
      'an accuracy that nothing reaches',
      { constraints: { minAccuracy: 1 } },
      'nothing reaches an accuracy of 1',
    ],
    [
      'a value outside of the space',
      { restrict: { ks: [7] } },
      'ks is narrowed to 7, but the space has 3, 5',
    ],
    ['no value at all', { restrict: { r: [] } }, 'r is narrowed to no value'],
    ['no table', { latency: {} }, 'there is no latency table'],
    ['a table without a resolution', { space: { ...space, resolutions: [32] } }, 'has no resolution 32'],
  ])('refuses %s', async (_, more, message) => {
    await expect(searchFront(options(more))).rejects.toThrow(message);
  });

  test.each([
    ['NaN', (count: number) => new Float64Array(count).fill(Number.NaN), 'gave NaN as an accuracy'],
    ['too few values', () => new Float64Array(1), 'gave undefined as an accuracy'],
    ['too many values', (count: number) => new Float64Array(count + 1), 'accuracies for'],
  ])('refuses a predictor that gives %s', async (_, values, message) => {
    const predictor = {
      name: 'broken',
      predict: (candidates: readonly unknown[]) => Promise.resolve(values(candidates.length)),
    };
    await expect(searchFront(options({ predictor }))).rejects.toThrow(message);
  });
});

describe('levels of a front', () => {
  const fronts = fc
    .array(
      fc.tuple(
        fc.double({ min: 0.01, max: 1, noNaN: true }),
        fc.double({ min: 0.001, max: 0.1, noNaN: true }),
      ),
      {
        minLength: 1,
        maxLength: 9,
      },
    )
    .map((steps) => {
      let [latency, accuracy] = [10, 0.5];
      return steps.map(([ms, share]) => {
        latency += ms;
        accuracy += share;
        return { latencyMs: latency, accuracy };
      });
    });

  test('are as many as asked for, of the front, and keep the most hypervolume', () => {
    fc.assert(
      fc.property(fronts, fc.integer({ min: 1, max: 9 }), (front, count) => {
        const levels = selectLevels(front, count);
        expect(levels).toHaveLength(Math.min(count, front.length));
        expect(front).toEqual(expect.arrayContaining(levels));
        const reference = referenceOf(front);
        const best = Math.max(...choose(front, levels.length).map((some) => hypervolume(some, reference)));
        expect(hypervolume(levels, reference)).toBeCloseTo(best, 12);
      }),
    );
  });

  test.each([
    ['no level', [{ latencyMs: 1, accuracy: 0.5 }], 0, 'their number is 1 or more'],
    [
      'a front that falls',
      [
        { latencyMs: 1, accuracy: 0.5 },
        { latencyMs: 2, accuracy: 0.4 },
      ],
      1,
      'point 1 is not slower and more accurate',
    ],
    ['NaN', [{ latencyMs: Number.NaN, accuracy: 0.5 }], 1, 'point 0'],
  ])('are refused for %s', (_, front, count, message) => {
    expect(() => selectLevels(front, count)).toThrow(message);
  });
});

/** Every choice of `count` of the values. */
function choose<T>(values: readonly T[], count: number): T[][] {
  if (count === 0) return [[]];
  return values.flatMap((value, index) =>
    choose(values.slice(index + 1), count - 1).map((rest) => [value, ...rest]),
  );
}

/** Every network of the small space, with what predictor and tables say of it. */
async function everyPoint(): Promise<{ accuracy: number; latencyMs: number }[]> {
  const landscape = landscapeOf(space, tables);
  const { settings, depths, choices, stages, perStage, blocks } = landscape;
  let genomes: number[][] = [...settings.keys()].map((setting) => [setting]);
  for (let stage = 0; stage < stages; stage += 1) {
    genomes = genomes.flatMap((genome) => depths.map((depth) => [...genome, depth]));
  }
  for (let block = 0; block < blocks; block += 1) {
    const runs = (genome: number[]): boolean =>
      block % perStage < (genome[1 + Math.floor(block / perStage)] ?? 0);
    genomes = genomes.flatMap((genome) =>
      runs(genome) ? [...choices.keys()].map((choice) => [...genome, choice]) : [[...genome, 0]],
    );
  }
  const all = genomes.map((genome) => Uint16Array.from(genome));
  expect(new Set(all.map((genome) => genome.join())).size).toBe(all.length);
  const accuracies = await roughPredictor().predict(all.map((genome) => candidateOf(landscape, genome)));
  return all.map((genome, index) => ({
    accuracy: accuracies[index] ?? 0,
    latencyMs: latencyOf(landscape, genome),
  }));
}
