import { expect, test } from 'vitest';
import { confidenceOf } from '../../../shared/logits.ts';

test('the confidence is the softmax probability of the greatest logit', () => {
  expect(confidenceOf(Float32Array.of(0, 0))).toBe(0.5);
  expect(confidenceOf(Float32Array.of(1_000, 0))).toBe(1);
});

test('there is none of nothing, and of what is no number: a sum over it stays a number', () => {
  for (const logits of [[], [Number.NaN, 1], [1, Number.NaN], [Number.POSITIVE_INFINITY, 1]]) {
    expect(confidenceOf(Float32Array.from(logits))).toBe(0);
  }
});
