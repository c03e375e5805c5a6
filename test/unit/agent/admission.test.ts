import fc from 'fast-check';
import { expect, test } from 'vitest';
import { warmSet } from '../../../agent/engine/admission.ts';

const ORDER = [0, 1, 2, 3, 4];
const COSTS = [10, 10, 20, 20, 40];

test('with enough memory every point is warm, the current one and its neighbours first', () => {
  const warm = warmSet({ costs: COSTS, budgetBytes: 100, current: 2, order: ORDER });
  expect(warm).toEqual([2, 1, 3, 0, 4]);
});

test('with little memory the current one is warm, and the lighter neighbour before the heavier', () => {
  expect(warmSet({ costs: COSTS, budgetBytes: 30, current: 2, order: ORDER })).toEqual([2, 1]);
  expect(warmSet({ costs: COSTS, budgetBytes: 0, current: 2, order: ORDER })).toEqual([2]);
});

test('a point that does not fit is passed over for a smaller one', () => {
  expect(warmSet({ costs: [1, 50, 10], budgetBytes: 20, current: 2, order: [0, 1, 2] })).toEqual([2, 0]);
});

test('a point of unknown cost waits until it is known', () => {
  expect(warmSet({ costs: [1], budgetBytes: 20, current: 0, order: [0, 1] })).toEqual([0]);
});

test('no more than the budget is taken, unless the current point alone is more', () => {
  const points = fc.array(fc.nat(100), { minLength: 1, maxLength: 12 });
  fc.assert(
    fc.property(points, fc.nat(400), fc.nat(11), (costs, budgetBytes, pick) => {
      const current = pick % costs.length;
      const warm = warmSet({ costs, budgetBytes, current, order: [...costs.keys()] });
      const taken = warm.reduce((sum, point) => sum + (costs[point] ?? 0), 0);
      expect(warm[0]).toBe(current);
      expect(new Set(warm).size).toBe(warm.length);
      expect(taken).toBeLessThanOrEqual(Math.max(budgetBytes, costs[current] ?? 0));
      // What was left out does not fit beside what was taken.
      for (const [point, cost] of costs.entries()) {
        if (!warm.includes(point)) expect(taken + cost).toBeGreaterThan(budgetBytes);
      }
    }),
  );
});
