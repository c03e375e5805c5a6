import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { rangeOf } from '../../../controller/api/byte-range.ts';

describe('the range of a request', () => {
  it('is what RFC 9110 says, one range of bytes', () => {
    expect(rangeOf('bytes=0-0', 10)).toEqual({ from: 0, to: 0 });
    expect(rangeOf('bytes=3-', 10)).toEqual({ from: 3, to: 9 });
    expect(rangeOf('bytes=3-99', 10)).toEqual({ from: 3, to: 9 });
    expect(rangeOf('bytes=-4', 10)).toEqual({ from: 6, to: 9 });
    expect(rangeOf('bytes=-99', 10)).toEqual({ from: 0, to: 9 });
  });

  it('is refused where it lies outside', () => {
    for (const range of ['bytes=10-', 'bytes=10-12', 'bytes=-0'])
      expect(rangeOf(range, 10)).toBe('unsatisfiable');
  });

  it('is the whole file for anything else', () => {
    for (const range of [undefined, '', 'bytes=-', 'bytes=5-3', 'bytes=0-1,3-4', 'lines=1-2', 'bytes=a-b']) {
      expect(rangeOf(range, 10)).toBeUndefined();
    }
  });

  it('never leaves the file, whatever is asked for', () => {
    const header = fc.oneof(
      fc.string(),
      fc.tuple(fc.nat(), fc.nat()).map(([from, to]) => `bytes=${from}-${to}`),
      fc.nat().map((count) => `bytes=-${count}`),
    );
    fc.assert(
      fc.property(header, fc.integer({ min: 1, max: 2 ** 31 }), (text, bytes) => {
        const range = rangeOf(text, bytes);
        if (range === undefined || range === 'unsatisfiable') return;
        expect(range.from).toBeGreaterThanOrEqual(0);
        expect(range.to).toBeGreaterThanOrEqual(range.from);
        expect(range.to).toBeLessThan(bytes);
      }),
    );
  });
});
