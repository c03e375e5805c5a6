import { getEventListeners } from 'node:events';
import { expect, test } from 'vitest';
import { createQueue } from '../../../controller/ingest/queue.ts';

test('a wait that was given up holds on to nothing', async () => {
  const queue = createQueue<number>(10);
  const { signal } = new AbortController();
  for (let round = 0; round < 50; round += 1) {
    void queue.waitFor(5, signal);
    queue.push(round);
    await queue.waitFor(1, signal);
    queue.drop(1);
  }
  await Promise.resolve();
  expect(getEventListeners(signal, 'abort')).toEqual([]);
});

test('a wait ends when enough is there, or when it is told to stop', async () => {
  const queue = createQueue<number>(2);
  const stopping = new AbortController();
  const two = queue.waitFor(2, stopping.signal);
  expect([queue.push(1), queue.push(2), queue.push(3)]).toEqual([true, true, false]);
  await two;
  expect(queue.first(5)).toEqual([1, 2]);
  const three = queue.waitFor(3, stopping.signal);
  stopping.abort();
  await three;
});
