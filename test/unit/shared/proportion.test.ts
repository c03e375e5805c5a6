import fc from 'fast-check';
import { describe, expect, it, test } from 'vitest';
import { standardErrorOf, wilson } from '../../../shared/proportion.ts';

describe('the uncertainty of a proportion', () => {
  it('is the binomial standard error', () => {
    expect(standardErrorOf(9_097, 10_000)).toBeCloseTo(0.002866, 6);
    expect(standardErrorOf(5, 5)).toBe(0);
  });

  // Newcombe, Statistics in Medicine 17 (1998), table I: method 3, Wilson's score without correction.
  test.each([
    [81, 263, 0.2553, 0.3662],
    [15, 148, 0.0624, 0.1605],
    [0, 20, 0, 0.1611],
    [1, 29, 0.0061, 0.1718],
  ])('of %d in %d is %f to %f', (correct, count, low, high) => {
    const interval = wilson(correct, count);
    expect(interval.low).toBeCloseTo(low, 4);
    expect(interval.high).toBeCloseTo(high, 4);
  });

  test('no cases say nothing', () => {
    expect(wilson(0, 0)).toEqual({ low: 0, high: 1 });
  });

  test('the interval of none begins at 0, and that of all ends at 1', () => {
    for (const count of [1, 7, 200, 10_000]) {
      expect(wilson(0, count).low).toBe(0);
      expect(wilson(count, count).high).toBe(1);
    }
  });

  test('the interval holds the share and lies within 0 and 1', () => {
    fc.assert(
      fc.property(
        fc.integer({ min: 1, max: 10_000 }),
        fc.double({ min: 0, max: 1, noNaN: true }),
        (count, p) => {
          const correct = Math.round(p * count);
          const { low, high } = wilson(correct, count);
          expect(low).toBeGreaterThanOrEqual(0);
          expect(high).toBeLessThanOrEqual(1);
          expect(low).toBeLessThanOrEqual(correct / count);
          expect(high).toBeGreaterThanOrEqual(correct / count);
        },
      ),
    );
  });
});
