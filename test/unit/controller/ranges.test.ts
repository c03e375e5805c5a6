import fc from 'fast-check';
import { expect, test } from 'vitest';
import { rangesOf } from '../../../controller/history/write/seq-set.ts';

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
