import * as fc from 'fast-check';
import { describe, expect, test } from 'vitest';
import { baselineOf, referenceOf, slopeOf } from '../../../agent/audit/baseline.ts';
import { confidenceSequence } from '../../../agent/audit/confidence-sequence.ts';
import {
  added,
  EMPTY,
  type Histogram,
  ksDistance,
  meanOf,
  merged,
  quantilePlace,
  shareAbove,
} from '../../../agent/audit/histogram.ts';
import { keep, NONE_PENDING, type Pending, take } from '../../../agent/audit/pending.ts';
import { type Interval, wilson } from '../../../shared/proportion.ts';
import { seededRandom } from '../../../shared/random.ts';

const confidences = fc.array(fc.double({ min: 0, max: 1, noNaN: true }), { minLength: 1, maxLength: 60 });
const histogramOf = (values: readonly number[]): Histogram => values.reduce(added, EMPTY);

describe('intervals of a proportion', () => {
  test('hold the share, are wider when looked at all the time, and say nothing of no cases', () => {
    expect(confidenceSequence(0, 0, 0.05)).toEqual({ low: 0, high: 1 });
    const cases = fc
      .integer({ min: 1, max: 5_000 })
      .chain((count) => fc.tuple(fc.nat(count), fc.constant(count)));
    fc.assert(
      fc.property(cases, ([successes, count]) => {
        const once = wilson(successes, count);
        const always = confidenceSequence(successes, count, 0.05);
        const share = successes / count;
        expect(always.low).toBeLessThanOrEqual(share);
        expect(always.high).toBeGreaterThanOrEqual(share);
        expect(always.high - always.low).toBeGreaterThan(once.high - once.low - 1e-9);
        expect(Math.min(always.low, once.low)).toBeGreaterThanOrEqual(0);
        expect(Math.max(always.high, once.high)).toBeLessThanOrEqual(1);
      }),
    );
  });

  test('a confidence sequence is the bet of its formula, turned round', () => {
    // Beta(1/2, 1/2) against p: B(s + 1/2, n - s + 1/2) / (pi p^s (1 - p)^(n - s)), with B(3.5, 1.5) = 0.122718.
    const { low, high } = confidenceSequence(3, 4, 0.05);
    const winnings = (p: number): number => 0.1227185 / Math.PI / (p ** 3 * (1 - p));
    expect(winnings(low)).toBeCloseTo(20, 2);
    expect(winnings(high)).toBeCloseTo(20, 2);
  });

  test('a confidence sequence is left by the truth in fewer than one run of twenty, at any time', () => {
    const random = seededRandom(1);
    const runs = Array.from({ length: 200 }, () => Array.from({ length: 400 }, () => random.below(10) === 0));
    const runsLeft = (intervalOf: (successes: number, count: number) => Interval): number =>
      runs.filter((run) => isLeft(run, intervalOf)).length;
    expect(runsLeft((successes, count) => confidenceSequence(successes, count, 0.05))).toBeLessThanOrEqual(
      10,
    );
    // Which is why there are two.
    expect(runsLeft(wilson)).toBeGreaterThan(30);
  });
});

/** Whether the truth, 0.1, is ever outside when one looks after every fourth case. */
function isLeft(
  run: readonly boolean[],
  intervalOf: (successes: number, count: number) => Interval,
): boolean {
  let successes = 0;
  return run.some((isSuccess, index) => {
    successes += isSuccess ? 1 : 0;
    if (index % 4 !== 3) return false;
    const { low, high } = intervalOf(successes, index + 1);
    return low > 0.1 || high < 0.1;
  });
}

describe('histogram of confidences', () => {
  test('counts every confidence once, 0 and 1 too, and adds up', () => {
    fc.assert(
      fc.property(confidences, confidences, (a, b) => {
        const both = histogramOf([...a, ...b]);
        const sum = merged(histogramOf(a), histogramOf(b));
        expect(sum.counts).toEqual(both.counts);
        expect(both.total).toBe(a.length + b.length);
        expect(both.counts.reduce((all, count) => all + count, 0)).toBe(both.total);
        expect(meanOf(sum)).toBeCloseTo(meanOf(both), 9);
      }),
    );
    expect(histogramOf([0, 1]).total).toBe(2);
  });

  test('the distance of Kolmogorov and Smirnov is symmetric, 0 of equals, and never above the exact one', () => {
    const exact = (a: readonly number[], b: readonly number[]): number =>
      Math.max(
        ...[...a, ...b].map((at) =>
          Math.abs(a.filter((v) => v <= at).length / a.length - b.filter((v) => v <= at).length / b.length),
        ),
      );
    fc.assert(
      fc.property(confidences, confidences, (a, b) => {
        const distance = ksDistance(histogramOf(a), histogramOf(b));
        expect(distance).toBe(ksDistance(histogramOf(b), histogramOf(a)));
        expect(ksDistance(histogramOf(a), histogramOf(a))).toBe(0);
        expect(distance).toBeLessThanOrEqual(exact(a, b) + 1e-9);
      }),
    );
    expect(ksDistance(histogramOf([0.1, 0.2]), histogramOf([0.8, 0.9]))).toBe(1);
  });

  test('the share above the place of a quantile is the rest', () => {
    fc.assert(
      fc.property(confidences, fc.double({ min: 0, max: 1, noNaN: true }), (values, share) => {
        const histogram = histogramOf(values);
        expect(shareAbove(histogram, quantilePlace(histogram, share))).toBeCloseTo(1 - share, 9);
      }),
    );
  });
});

describe('baseline', () => {
  test('the slope is where the bet on a sum is fair', () => {
    // +1 with 0.2, -1 with 0.8: exp(s) = 4.
    const distribution = [
      { value: 1, share: 0.2 },
      { value: -1, share: 0.8 },
    ];
    expect(slopeOf(distribution)).toBeCloseTo(Math.log(4), 9);
  });

  test('confidences that resemble the last one count for less', () => {
    const random = seededRandom(2);
    const independent = Array.from({ length: 2_000 }, () => random.below(1_000) / 1_000);
    let level = 0;
    const dragging = independent.map((value) => {
      level = 0.9 * level + 0.1 * value;
      return level;
    });
    expect(baselineOf(referenceOf(independent))?.independence).toBe(1);
    const { independence = 1 } = baselineOf(referenceOf(dragging)) ?? {};
    expect(independence).toBeGreaterThan(0.02);
    expect(independence).toBeLessThan(0.09);
  });

  test('a reference that does not add up is none', () => {
    const reference = referenceOf([0.5, 0.9]);
    expect(baselineOf(reference)).toBeDefined();
    const { histogram } = reference;
    expect(baselineOf({ ...reference, histogram: { ...histogram, total: 3 } })).toBeUndefined();
    expect(baselineOf({ ...reference, histogram: { ...histogram, counts: [2] } })).toBeUndefined();
    expect(baselineOf({ ...reference, sumSquares: Number.NaN })).toBeUndefined();
    expect(baselineOf(referenceOf([]))).toBeUndefined();
  });
});

test('few frames wait, the oldest goes first, and every one that went is counted', () => {
  let pending: Pending<number> = NONE_PENDING;
  for (let frame = 0; frame < 10; frame += 1) pending = keep(pending, frame);
  expect(pending).toEqual({ frames: [6, 7, 8, 9], dropped: 6 });
  const { frame, rest } = take(pending);
  expect([frame, rest]).toEqual([6, { frames: [7, 8, 9], dropped: 6 }]);
  expect(take(NONE_PENDING).frame).toBeUndefined();
});
