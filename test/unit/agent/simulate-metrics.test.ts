import fc from 'fast-check';
import { expect, test } from 'vitest';
import { bootstrapMean } from '../../../agent/simulate/bootstrap.ts';
import { calibrationOf, mergedCalibration } from '../../../agent/simulate/calibration.ts';
import { metricsOf } from '../../../agent/simulate/metrics.ts';
import type { FrameOutcome } from '../../../agent/simulate/replay.ts';
import { seededRandom } from '../../../shared/random.ts';
import { GPU_FAMILY, times } from '../../support/policy-run.ts';

const PERIOD_MS = 100;

/** One frame every 100 ms at these points; undefined is shed, and those of `late` are late. */
function outcomesOf(points: readonly (number | undefined)[], late: readonly number[] = []): FrameOutcome[] {
  return points.map((point, frame) => {
    const arrivedMs = PERIOD_MS * frame;
    const met = point !== undefined && !late.includes(frame);
    const latencyMs = point === undefined ? 0 : 50;
    const accuracy = point === undefined ? 0 : (GPU_FAMILY[point]?.accuracy ?? 0);
    const decision = {
      point,
      cause: 'policy',
      predictedMs: 50,
      missProbability: 0.1,
      timeLeftMs: 66,
    } as const;
    return {
      ...{ frame, arrivedMs, startedMs: arrivedMs, endedMs: arrivedMs + latencyMs, point, latencyMs, met },
      ...{ goodput: met ? accuracy : 0, energyJ: point === undefined ? 0 : 2 },
      decision: { ...decision, gaveWay: [], candidates: [] },
    };
  });
}

const oracle = outcomesOf(times(10, 5));

test('misses, accuracies and energy are counted over the frames that they are of', () => {
  const metrics = metricsOf(outcomesOf([0, 0, 0, 0, undefined, 5, 5, 5, 5, 5], [5]), {
    oracle,
    profile: GPU_FAMILY,
  });
  expect(metrics.miss).toBeCloseTo(0.2, 12);
  expect(metrics.attainment).toBeCloseTo(0.8, 12);
  expect(metrics.shed).toBeCloseTo(0.1, 12);
  expect(metrics.accuracyOfMet).toBeCloseTo((0.74202 + 0.7903) / 2, 12);
  expect(metrics.goodput).toBeCloseTo(0.8 * metrics.accuracyOfMet, 12);
  expect(metrics.regret).toBeCloseTo(0.7903 - metrics.goodput, 12);
  expect(metrics.energyPerMetJ).toBeCloseTo(18 / 8, 12);
  expect(metrics.energyRegretJ).toBeCloseTo(0.25, 12);
  expect(metrics.missAfterMiss).toBeCloseTo(0.5, 12);
  expect(metrics.longestMissRun).toBe(2);
  expect(metrics.p99Ms).toBe(50);
});

test('a return within 2 s counts as one there and back, a later one only as a switch', () => {
  const soon = metricsOf(outcomesOf([...times(5, 5), ...times(5, 0), ...times(50, 5)]), {
    oracle,
    profile: GPU_FAMILY,
  });
  expect([soon.switchesPerMin, soon.abaPerMin]).toEqual([2 * 10, 10]);
  const late = metricsOf(outcomesOf([...times(5, 5), ...times(25, 0), ...times(30, 5)]), {
    oracle,
    profile: GPU_FAMILY,
  });
  expect([late.switchesPerMin, late.abaPerMin]).toEqual([2 * 10, 0]);
  const shedBetween = outcomesOf([5, undefined, 5, 0, 4, 5, ...times(54, 5)]);
  expect(metricsOf(shedBetween, { oracle, profile: GPU_FAMILY }).abaPerMin).toBe(0);
});

test('settled is where 20 frames in a row are met at the level of the oracle or one below', () => {
  const step = { fromMs: 1_000, toMs: 10_000 };
  const ideal = outcomesOf([...times(10, 5), ...times(90, 1)]);
  const settle = (points: readonly (number | undefined)[], late: readonly number[] = []): number =>
    metricsOf(outcomesOf(points, late), { oracle: ideal, profile: GPU_FAMILY, step }).settleS;
  expect(settle([...times(10, 5), ...times(90, 1)])).toBe(0);
  expect(settle([...times(12, 5), undefined, ...times(87, 0)], [10, 11])).toBeCloseTo(0.3, 9);
  expect(settle([...times(10, 5), ...times(90, 1)], [25])).toBeCloseTo(1.6, 9);
  expect(settle(times(100, 5), [...times(100, 0).keys()])).toBe(9);
  const noStep = metricsOf(outcomesOf(times(10, 5)), { oracle, profile: GPU_FAMILY });
  expect(noStep.settleS).toBeNaN();
});

test('how far a run goes under the oracle is its overshoot', () => {
  const step = { fromMs: 0, toMs: 10_000 };
  const ideal = outcomesOf(times(60, 4));
  const of = (points: readonly (number | undefined)[]): number =>
    metricsOf(outcomesOf(points), { oracle: ideal, profile: GPU_FAMILY, step }).overshoot;
  expect(of([...times(30, 4), 1, undefined, ...times(28, 4)])).toBe(3);
  expect(of(times(60, 5))).toBe(0);
});

test('calibration compares predictions with what became of them, bin by bin, and runs can be put together', () => {
  const bins = calibrationOf(outcomesOf([...times(9, 1), undefined], [0, 1]));
  expect(bins).toEqual([
    { from: 0.1, to: 0.2, frames: 9, misses: 2, predicted: expect.closeTo(0.1, 9), realised: 2 / 9 },
  ]);
  expect(mergedCalibration([bins, bins])[0]).toMatchObject({ frames: 18, misses: 4, realised: 2 / 9 });
  expect(mergedCalibration([])).toEqual([]);
});

test('an interval holds the mean, is the same for the same seed, and narrows with more blocks', () => {
  const values = fc.array(fc.double({ min: -100, max: 100, noNaN: true }), { minLength: 1, maxLength: 30 });
  fc.assert(
    fc.property(values, (blocks) => {
      const { mean, low, high } = bootstrapMean(blocks, seededRandom(1));
      expect(low).toBeLessThanOrEqual(mean + 1e-9);
      expect(high).toBeGreaterThanOrEqual(mean - 1e-9);
      expect(bootstrapMean([...blocks, Number.NaN], seededRandom(1))).toEqual({ mean, low, high });
    }),
    { numRuns: 30 },
  );
  const random = seededRandom(5);
  const many = Array.from({ length: 400 }, () => random.normal());
  const width = (blocks: readonly number[]): number => {
    const { low, high } = bootstrapMean(blocks, seededRandom(2));
    return high - low;
  };
  expect(width(many)).toBeCloseTo((2 * 1.96) / 20, 1);
  expect(width(many.slice(0, 40))).toBeGreaterThan(2 * width(many));
  expect(bootstrapMean([Number.NaN], random).mean).toBeNaN();
});
