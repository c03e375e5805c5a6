import fc from 'fast-check';
import { expect, test } from 'vitest';
import { chunkLengthOf, createChunkSet, MAX_CHUNKS } from '../../../shared/chunk-ranges.ts';
import { CHUNK_BYTES } from '../../../shared/protocol/release.ts';

const range = fc
  .tuple(fc.integer({ min: 0, max: 200 }), fc.integer({ min: 0, max: 100 }))
  .map(([from, length]): [number, number] => [from, from + length]);
const step = fc.tuple(fc.constantFrom('add', 'remove'), range);

const numbersOf = ([from, to]: readonly [number, number]): number[] =>
  Array.from({ length: to - from + 1 }, (_, index) => from + index);

test('a chunk set holds what a set of numbers would hold', () => {
  fc.assert(
    fc.property(fc.array(step, { maxLength: 20 }), fc.integer({ min: 0, max: 320 }), (steps, at) => {
      const chunks = createChunkSet();
      const model = new Set<number>();
      for (const [kind, run] of steps) {
        const before = model.size;
        for (const n of numbersOf(run)) kind === 'add' ? model.add(n) : model.delete(n);
        const changed = kind === 'add' ? chunks.add(run) : chunks.remove(run);
        expect(changed).toBe(Math.abs(model.size - before));
      }
      const sorted = [...model].sort((a, b) => a - b);
      expect(chunks.size).toBe(model.size);
      expect(chunks.ranges(1_000).flatMap(numbersOf)).toEqual(sorted);
      expect(chunks.has(at)).toBe(model.has(at));
      expect(chunks.next(at)).toBe(sorted.find((n) => n >= at));
    }),
  );
});

test('runs are as long as they can be, and no more of them than asked for', () => {
  const chunks = createChunkSet();
  chunks.add([0, 3]);
  chunks.add([4, 40]);
  chunks.add([60, 63]);
  chunks.add([100, 100]);
  expect(chunks.ranges(10)).toEqual([
    [0, 40],
    [60, 63],
    [100, 100],
  ]);
  expect(chunks.ranges(2)).toHaveLength(2);
});

test('what is in another set can be left out', () => {
  fc.assert(
    fc.property(range, range, range, (wanted, barred, alsoBarred) => {
      const [one, two, chunks] = [createChunkSet(), createChunkSet(), createChunkSet()];
      one.add(barred);
      two.add(alsoBarred);
      const left = numbersOf(wanted).filter((n) => !one.has(n) && !two.has(n));
      expect(chunks.add(wanted, [one, two])).toBe(left.length);
      expect(chunks.ranges(1_000).flatMap(numbersOf)).toEqual(left);
    }),
  );
});

test('the last chunk of the largest blob has a place, and one beyond it has none', () => {
  const chunks = createChunkSet();
  expect(chunks.add([0, 10 * MAX_CHUNKS])).toBe(MAX_CHUNKS);
  expect(chunks.add([MAX_CHUNKS, MAX_CHUNKS])).toBe(0);
  expect(chunks.ranges(5)).toEqual([[0, MAX_CHUNKS - 1]]);
  chunks.clear();
  expect(chunks.size).toBe(0);
  expect(chunks.next(0)).toBeUndefined();
});

test('every chunk but the last is full', () => {
  const bytes = 2 * CHUNK_BYTES + 7;
  expect([0, 1, 2, 3, -1, 0.5].map((n) => chunkLengthOf(bytes, n))).toEqual([
    CHUNK_BYTES,
    CHUNK_BYTES,
    7,
    0,
    0,
    0,
  ]);
});
