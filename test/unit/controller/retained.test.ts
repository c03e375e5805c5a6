import { expect, test } from 'vitest';
import { createRetainedBound } from '../../../controller/broker/retained.ts';

test('retained messages are bounded in number and in bytes; one that goes makes room', () => {
  const bound = createRetainedBound({ topics: 2, bytes: 20 });
  expect([bound.keep('a', 9), bound.keep('b', 9)]).toEqual([true, true]);
  expect([bound.keep('c', 1), bound.keep('a', 10), bound.keep('b', 3)]).toEqual([false, false, true]);
  expect([bound.keep('a', 0), bound.keep('c', 15), bound.keep('c', 16)]).toEqual([true, true, false]);
});

test('a message that is taken back twice frees its room once', () => {
  const bound = createRetainedBound({ topics: 9, bytes: 20 });
  for (const bytes of [9, 0, 0]) bound.keep('a', bytes);
  expect([bound.keep('b', 19), bound.keep('a', 1)]).toEqual([true, false]);
});
