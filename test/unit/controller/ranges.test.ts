import fc from 'fast-check';
import { expect, test } from 'vitest';
import { acksOf, rangesOf } from '../../../controller/ingest/ranges.ts';

test('ranges hold exactly the numbers that they were made from', () => {
  fc.assert(
    fc.property(fc.array(fc.integer({ min: 1, max: 200 })), (seqs) => {
      const ranges = rangesOf(seqs);
      const held = ranges.flatMap(([from, to]) => Array.from({ length: to - from + 1 }, (_, i) => from + i));
      expect(held).toEqual([...new Set(seqs)].sort((a, b) => a - b));
      for (const [index, [from]] of ranges.entries()) {
        expect(from).toBeGreaterThan((ranges[index - 1]?.[1] ?? -1) + 1);
      }
    }),
  );
});

test('every device and every boot has its own acknowledgement', () => {
  const keys = [
    { device: 'a', bootId: 'x', seq: 2 },
    { device: 'a', bootId: 'x', seq: 1 },
    { device: 'a', bootId: 'y', seq: 3 },
    { device: 'b', bootId: 'x', seq: 4 },
  ];
  expect(acksOf(keys)).toEqual([
    { device: 'a', ack: { bootId: 'x', ranges: [[1, 2]] } },
    { device: 'a', ack: { bootId: 'y', ranges: [[3, 3]] } },
    { device: 'b', ack: { bootId: 'x', ranges: [[4, 4]] } },
  ]);
});
