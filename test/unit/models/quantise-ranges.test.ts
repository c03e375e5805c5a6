import fc from 'fast-check';
import { describe, expect, test } from 'vitest';
import { Histogram } from '../../../models/ofa/quantise/histogram.ts';
import { fullRange, percentileRange, usualRange } from '../../../models/ofa/quantise/range-rules.ts';

const values = fc.array(fc.float({ noNaN: true, noDefaultInfinity: true }), { minLength: 1, maxLength: 200 });

function histogramOf(...parts: readonly (readonly number[])[]): Histogram {
  const histogram = new Histogram('value');
  for (const part of parts) histogram.add(Float32Array.from(part));
  return histogram;
}

/** Bins that hold something, with their counts. */
function filled(counts: Float64Array): [number, number][] {
  const list: [number, number][] = [];
  for (let bin = 0; bin < counts.length; bin += 1) {
    const count = counts[bin] ?? 0;
    if (count !== 0) list.push([bin, count]);
  }
  return list;
}

function contents({ counts, width, total, min, max }: Histogram) {
  return { bins: filled(counts), width, total, min, max };
}

describe('a histogram', () => {
  test('is the same in whatever order and portions values come', () => {
    fc.assert(
      fc.property(values, fc.nat(), (list, cut) => {
        const at = cut % list.length;
        const other = histogramOf(list.slice(at).toReversed(), list.slice(0, at));
        expect(contents(other)).toEqual(contents(histogramOf(list)));
      }),
    );
  });

  test('counts every value but zeros in its bin', () => {
    fc.assert(
      fc.property(values, (list) => {
        const { counts, width, total, min, max } = histogramOf(list);
        const expected = new Float64Array(counts.length);
        for (const value of list) {
          const bin = Math.floor(value / width) + counts.length / 2;
          if (value !== 0) expected[bin] = (expected[bin] ?? 0) + 1;
        }
        expect(filled(counts)).toEqual(filled(expected));
        expect(total).toBe(list.length);
        expect([min, max]).toEqual([Math.min(...list) + 0, Math.max(...list) + 0]);
      }),
    );
  });

  test('does not tell the two zeros apart', () => {
    expect(contents(histogramOf([-0]))).toEqual(contents(histogramOf([0])));
    expect(contents(histogramOf([0, -0]))).toEqual(contents(histogramOf([-0, 0])));
  });

  test('has at least a thousand bins on the longer side, however small or large values are', () => {
    for (const greatest of [2 ** -20, 0.9, 1, 1e30]) {
      const { counts, width } = histogramOf([greatest, greatest / 3]);
      expect(greatest / width).toBeGreaterThanOrEqual(counts.length / 4 - 1);
      expect(greatest / width).toBeLessThan(counts.length / 2);
    }
  });

  test('takes what is below the least value that matters for that value', () => {
    const histogram = new Histogram('value');
    histogram.add(Float32Array.of(-100, -3, 5), -3);
    expect([histogram.min, histogram.max, histogram.total]).toEqual([-3, 5, 3]);
  });

  test('refuses what is no finite number', () => {
    for (const value of [Number.NaN, Number.POSITIVE_INFINITY, Number.NEGATIVE_INFINITY]) {
      expect(() => histogramOf([1, value])).toThrow(`range of value: found the value ${value}`);
    }
  });
});

describe('a range', () => {
  test('is within what was seen and zero, and leaves out no more than its share at each end', () => {
    fc.assert(
      fc.property(values, fc.double({ min: 0, max: 0.4, noNaN: true }), (list, share) => {
        const { min, max } = percentileRange(share)(histogramOf(list));
        expect(min).toBeGreaterThanOrEqual(Math.min(0, ...list));
        expect(max).toBeLessThanOrEqual(Math.max(0, ...list));
        expect(list.filter((value) => value < min).length).toBeLessThanOrEqual(share * list.length);
        expect(list.filter((value) => value > max).length).toBeLessThanOrEqual(share * list.length);
        expect([Math.fround(min), Math.fround(max)]).toEqual([min, max]);
      }),
    );
  });

  test('does not follow a single far value among many', () => {
    const list = Array.from({ length: 50_000 }, (_, index) => (index % 1_000) / 1_000 - 0.25);
    const histogram = histogramOf([...list, 80, -80]);
    expect(fullRange(histogram)).toEqual({ min: -80, max: 80 });
    const { min, max } = usualRange(histogram);
    expect(min).toBeCloseTo(-0.25, 1);
    expect(max).toBeCloseTo(0.75, 1);
  });

  test('of nothing but one value reaches from zero to it', () => {
    expect(usualRange(histogramOf([0, 0]))).toEqual({ min: 0, max: 0 });
    expect(usualRange(histogramOf([3]))).toEqual({ min: 0, max: 3 });
    expect(usualRange(histogramOf([-3, -3]))).toEqual({ min: -3, max: 0 });
  });
});
