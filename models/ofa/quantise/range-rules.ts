import type { Range } from './affine.ts';
import type { Histogram } from './histogram.ts';

/** Chooses a range for the values of a histogram, which has at least one. */
export type RangeRule = (values: Histogram) => Range;

/** Clips nothing that was seen. */
export function fullRange({ min, max }: Histogram): Range {
  return { min, max };
}

/**
 * Clips up to a share of the values at each end: whole bins, none of which holds a value at the border of
 * what is left. Zero is always in the range.
 * @param share 0..1
 */
export function percentileRange(share: number): RangeRule {
  return (values) => {
    const { counts, width, total } = values;
    const half = counts.length / 2;
    const below = binsWithin(counts.subarray(0, half), share * total);
    const above = binsWithin(counts.toReversed().subarray(0, half), share * total);
    return {
      min: Math.max(Math.min(values.min, 0), (below - half) * width),
      max: Math.min(Math.max(values.max, 0), (half - above) * width),
    };
  };
}

/** How many of the first bins hold no more than so many values together. */
function binsWithin(counts: Float64Array, allowed: number): number {
  let sum = 0;
  const end = counts.findIndex((count) => {
    sum += count;
    return sum > allowed;
  });
  return end < 0 ? counts.length : end;
}

/**
 * Clips one value in ten thousand at each end. Of the rules that were tried on four sub-networks of the
 * Fashion-MNIST backbone (1,000 images for the ranges, 10,000 to compare) it stays nearest to the float
 * models: 99.2-99.5 % equal answers and logits off by 2.8-3.7 %, where the full range has 99.0 % and
 * 3.9-4.7 %, a share of 1 in 1,000 has 98.6-98.9 % and 6.4-7.5 %, and the least mean squared error of each
 * value 99.2-99.4 % and 3.2-3.8 %.
 */
export const usualRange: RangeRule = percentileRange(1e-4);
