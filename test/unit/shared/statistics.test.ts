import fc from 'fast-check';
import { expect, test } from 'vitest';
import { mean, median, quantile, quantileOfSorted } from '../../../shared/statistics.ts';

const number = fc.integer({ min: -1_000, max: 1_000 });

test('the median has as many values on either side', () => {
  fc.assert(
    fc.property(fc.array(number, { minLength: 1 }), (values) => {
      const middle = median(values);
      const below = values.filter((value) => value < middle).length;
      const above = values.filter((value) => value > middle).length;
      expect(Math.max(below, above)).toBeLessThanOrEqual(values.length / 2);
    }),
  );
});

test('of an even number of values the median is between the two middle ones', () => {
  expect(median([4, 1, 3, 2])).toBe(2.5);
});

test('a quantile is the smallest value with at least its share at or below it', () => {
  fc.assert(
    fc.property(
      fc.array(number, { minLength: 1 }),
      fc.double({ min: 0, max: 1, noNaN: true }),
      (values, q) => {
        const found = quantile(values, q);
        const shareAtMost = (limit: number): number =>
          values.filter((value) => value <= limit).length / values.length;
        expect(values).toContain(found);
        expect(shareAtMost(found)).toBeGreaterThanOrEqual(q - 1e-9);
        const smaller = values.filter((value) => value < found);
        if (smaller.length > 0) expect(shareAtMost(Math.max(...smaller))).toBeLessThan(q + 1e-9);
        expect(
          quantileOfSorted(
            values.toSorted((a, b) => a - b),
            q,
          ),
        ).toBe(found);
      },
    ),
  );
});

test('nothing is said of no values', () => {
  expect([mean([]), median([]), quantile([], 0.5)]).toEqual([Number.NaN, Number.NaN, Number.NaN]);
});
