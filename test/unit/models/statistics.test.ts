import fc from 'fast-check';
import { expect, test } from 'vitest';
import { kendallTau, relativeLine, spearmanRho } from '../../../models/statistics.ts';

const number = fc.integer({ min: -1_000, max: 1_000 });
const pairs = fc
  .array(fc.tuple(number, number), { minLength: 2, maxLength: 40 })
  .map((list): [number[], number[]] => [list.map(([x]) => x), list.map(([, y]) => y)])
  .filter(([xs, ys]) => new Set(xs).size > 1 && new Set(ys).size > 1);

test.each([
  ['Kendall', kendallTau],
  ['Spearman', spearmanRho],
])('%s: within -1..1, symmetric, turned round by negation, blind to rising transformations', (_, measure) => {
  fc.assert(
    fc.property(pairs, ([xs, ys]) => {
      const value = measure(xs, ys);
      expect(Math.abs(value)).toBeLessThanOrEqual(1);
      expect(measure(ys, xs)).toBeCloseTo(value, 12);
      expect(
        measure(
          xs.map((x) => -x),
          ys,
        ),
      ).toBeCloseTo(-value, 12);
      expect(
        measure(
          xs.map((x) => x ** 3 + 2 * x),
          ys,
        ),
      ).toBeCloseTo(value, 12);
      expect(measure(xs, xs)).toBeCloseTo(1, 12);
    }),
  );
});

test('rank correlations are those of a worked example with ties', () => {
  // SciPy's kendalltau and spearmanr of the same lists.
  const xs = [1, 2, 2, 3, 5];
  const ys = [2, 1, 4, 4, 3];
  expect(kendallTau(xs, ys)).toBeCloseTo(2 / 9, 12);
  expect(spearmanRho(xs, ys)).toBeCloseTo(7.5 / 19, 12);
});

test('a list of equal values has no rank correlation', () => {
  expect(kendallTau([1, 1, 1], [1, 2, 3])).toBeNaN();
  expect(spearmanRho([1, 1, 1], [1, 2, 3])).toBeNaN();
});

test('the fitted line finds the line that points are on', () => {
  fc.assert(
    fc.property(
      fc.uniqueArray(fc.integer({ min: 1, max: 1_000 }), { minLength: 2, maxLength: 30 }),
      fc.integer({ min: 0, max: 50 }),
      fc.double({ min: 0.1, max: 5, noNaN: true }),
      (xs, offset, scale) => {
        const line = relativeLine(
          xs,
          xs.map((x) => offset + scale * x),
        );
        expect(line?.offset).toBeCloseTo(offset, 6);
        expect(line?.scale).toBeCloseTo(scale, 6);
      },
    ),
  );
});

test('no other line near the fitted one has a smaller squared relative error', () => {
  const positive = fc.integer({ min: 1, max: 100 });
  fc.assert(
    fc.property(
      fc.array(fc.tuple(positive, positive), { minLength: 3, maxLength: 20 }),
      fc.double({ min: -0.5, max: 0.5, noNaN: true }),
      fc.double({ min: -0.1, max: 0.1, noNaN: true }),
      (points, up, steeper) => {
        const line = relativeLine(
          points.map(([x]) => x),
          points.map(([, y]) => y),
        );
        fc.pre(line !== undefined);
        const { offset, scale } = line;
        const error = (o: number, s: number): number =>
          points.reduce((sum, [x, y]) => sum + ((o + s * x - y) / y) ** 2, 0);
        expect(error(offset, scale)).toBeLessThanOrEqual(error(offset + up, scale + steeper) + 1e-9);
      },
    ),
  );
});

test('no single line fits points above each other', () => {
  expect(relativeLine([2, 2], [1, 3])).toBeUndefined();
  expect(relativeLine([], [])).toBeUndefined();
});
