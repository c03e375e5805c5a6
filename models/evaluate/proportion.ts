/** Two-sided 95 % of the normal distribution. */
const Z_95 = 1.959963984540054;

/** Standard error of a proportion that was measured on `count` independent cases: sqrt(p (1 - p) / n). */
export function standardErrorOf(correct: number, count: number): number {
  const share = correct / count;
  return Math.sqrt((share * (1 - share)) / count);
}

/**
 * Wilson score interval, 95 %, of a proportion (Wilson, JASA 22, 1927): unlike share +- 1.96 standard errors
 * it stays within 0..1 and does not shrink to nothing at 0 and 1.
 */
export function wilsonInterval(correct: number, count: number): readonly [low: number, high: number] {
  const share = correct / count;
  const z2 = Z_95 * Z_95;
  const middle = share + z2 / (2 * count);
  const half = Z_95 * Math.sqrt((share * (1 - share)) / count + z2 / (4 * count * count));
  const scale = 1 + z2 / count;
  // At the ends they are equal but for rounding.
  const low = correct === 0 ? 0 : Math.max(0, (middle - half) / scale);
  const high = correct === count ? 1 : Math.min(1, (middle + half) / scale);
  return [low, high];
}
