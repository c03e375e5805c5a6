/** Limits of a proportion, 0..1. */
export interface Interval {
  readonly low: number;
  readonly high: number;
}

/** Two-sided 95 % of the normal distribution. */
const Z_95 = 1.959963984540054;

/** Standard error of a proportion that was measured on `count` independent cases: sqrt(p (1 - p) / n). */
export function standardErrorOf(successes: number, count: number): number {
  const share = successes / count;
  return Math.sqrt((share * (1 - share)) / count);
}

/**
 * Wilson score interval, 95 %, of a proportion (Wilson, JASA 22, 1927): right for one look at a number of
 * cases that was fixed before. Unlike share +- 1.96 standard errors it stays within 0..1 and does not shrink
 * to nothing at 0 and 1.
 * @param successes may be fractional, where a share was rounded
 * @returns 0..1 of no cases
 */
export function wilson(successes: number, count: number): Interval {
  if (!(count > 0)) return { low: 0, high: 1 };
  const share = successes / count;
  const z2 = Z_95 * Z_95;
  const middle = share + z2 / (2 * count);
  const half = Z_95 * Math.sqrt((share * (1 - share)) / count + z2 / (4 * count * count));
  const scale = 1 + z2 / count;
  // At the ends they are equal but for rounding.
  return {
    low: successes === 0 ? 0 : Math.max(0, (middle - half) / scale),
    high: successes === count ? 1 : Math.min(1, (middle + half) / scale),
  };
}
