import { setImmediate as nextTurn } from 'node:timers/promises';
import fc from 'fast-check';
import { expect, test } from 'vitest';
import { createTurns } from '../../../controller/broker/turns.ts';

test('pieces are done in order, all of them, and a turn ends when the bound is reached', async () => {
  await fc.assert(
    fc.asyncProperty(fc.array(fc.integer({ min: 1, max: 20 }), { maxLength: 30 }), async (sizes) => {
      const turns = createTurns(10);
      const done: number[] = [];
      for (const [index, size] of sizes.entries()) turns.add(size, () => done.push(index));
      expect(done).toEqual([]);
      while (done.length < sizes.length) {
        const before = done.length;
        await nextTurn();
        const ofTurn = sizes.slice(before, done.length);
        expect(ofTurn.length).toBeGreaterThan(0);
        // What is done without its last piece lies below the bound.
        expect(ofTurn.slice(0, -1).reduce((sum, size) => sum + size, 0)).toBeLessThan(10);
      }
      expect(done).toEqual(sizes.map((_, index) => index));
    }),
    { numRuns: 50 },
  );
});

test('a piece that adds another leaves it to a later turn or the same, and it is not lost', async () => {
  const turns = createTurns(10);
  const done: string[] = [];
  turns.add(1, () => {
    done.push('first');
    turns.add(1, () => done.push('second'));
  });
  await nextTurn();
  await nextTurn();
  expect(done).toEqual(['first', 'second']);
  turns.add(1, () => done.push('third'));
  await nextTurn();
  expect(done).toEqual(['first', 'second', 'third']);
});
