import fc from 'fast-check';
import { expect, test } from 'vitest';
import { ceilDigits, floorDigits, roundDigits } from '../../../shared/digits.ts';

const number = fc.oneof(
  fc.double({ min: -1e15, max: 1e15, noNaN: true }),
  fc.double({ min: 1e-300, max: 1e-3, noNaN: true }),
  fc.integer(),
);

test('the rounded number is the nearest, and the others lie around the number', () => {
  fc.assert(
    fc.property(number, fc.integer({ min: 1, max: 15 }), (value, digits) => {
      const [below, nearest, above] = [floorDigits, roundDigits, ceilDigits].map((to) => to(value, digits));
      expect(below).toBeLessThanOrEqual(value);
      expect(above).toBeGreaterThanOrEqual(value);
      expect([below, above]).toContain(nearest);
    }),
    { numRuns: 1_000 },
  );
});

test('what has so few digits already stays as it is', () => {
  fc.assert(
    fc.property(number, (value) => {
      const once = floorDigits(value, 7);
      expect(floorDigits(once, 7)).toBe(once);
      expect(ceilDigits(once, 7)).toBe(once);
      expect(once.toPrecision(7)).toBe(floorDigits(value, 7).toPrecision(7));
    }),
  );
});

test.each([
  [1.23456789, 1.234567, 1.234568],
  [9.99999999, 9.999999, 10],
  [1_510_400_000, 1_510_400_000, 1_510_400_000],
  [0, 0, 0],
])('%d lies between %d and %d', (value, below, above) => {
  expect(floorDigits(value, 7)).toBe(below);
  expect(ceilDigits(value, 7)).toBe(above);
});
