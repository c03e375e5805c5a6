/** A line `offset + scale * x`. */
export interface Line {
  readonly offset: number;
  readonly scale: number;
}

/**
 * Kendall's rank correlation of two lists of equal length, in -1..1: tau-b, which counts pairs that are equal
 * in one of the lists as neither for nor against (Kendall 1945). Takes time with the square of the length.
 * @returns NaN where all values of a list are equal
 */
export function kendallTau(xs: readonly number[], ys: readonly number[]): number {
  let agreeing = 0;
  let differentX = 0;
  let differentY = 0;
  for (let a = 1; a < xs.length; a += 1) {
    for (let b = 0; b < a; b += 1) {
      const x = Math.sign((xs[a] ?? 0) - (xs[b] ?? 0));
      const y = Math.sign((ys[a] ?? 0) - (ys[b] ?? 0));
      agreeing += x * y;
      differentX += Math.abs(x);
      differentY += Math.abs(y);
    }
  }
  return withinOne(agreeing / Math.sqrt(differentX * differentY));
}

/**
 * Spearman's rank correlation of two lists of equal length, in -1..1; equal values share the mean of their
 * ranks.
 * @returns NaN where all values of a list are equal
 */
export function spearmanRho(xs: readonly number[], ys: readonly number[]): number {
  const [a, b] = [ranks(xs), ranks(ys)];
  const middle = (xs.length + 1) / 2;
  let together = 0;
  let ofA = 0;
  let ofB = 0;
  for (const [index, rank] of a.entries()) {
    const fromMiddle = (b[index] ?? 0) - middle;
    together += (rank - middle) * fromMiddle;
    ofA += (rank - middle) ** 2;
    ofB += fromMiddle ** 2;
  }
  return withinOne(together / Math.sqrt(ofA * ofB));
}

/** From 1 up. */
function ranks(values: readonly number[]): number[] {
  const order = values.map((_, index) => index).sort((a, b) => (values[a] ?? 0) - (values[b] ?? 0));
  const result = values.map(() => 0);
  for (let start = 0, end = 0; start < order.length; start = end) {
    while (end < order.length && values[order[end] ?? 0] === values[order[start] ?? 0]) end += 1;
    for (const index of order.slice(start, end)) result[index] = (start + 1 + end) / 2;
  }
  return result;
}

/** Takes off what rounding adds. */
function withinOne(correlation: number): number {
  return Math.min(1, Math.max(-1, correlation));
}

/**
 * The line that minimises the sum of the squared relative errors `(offset + scale * x - y) / y`.
 * @param ys above 0
 * @returns undefined where no single line does: fewer than two different `xs`
 */
export function relativeLine(xs: readonly number[], ys: readonly number[]): Line | undefined {
  const weights = ys.map((y) => 1 / y ** 2);
  const total = weights.reduce((sum, weight) => sum + weight, 0);
  const meanOf = (values: readonly number[]): number =>
    values.reduce((sum, value, index) => sum + value * (weights[index] ?? 0), 0) / total;
  const [meanX, meanY] = [meanOf(xs), meanOf(ys)];
  const variance = meanOf(xs.map((x) => (x - meanX) ** 2));
  if (!(variance > 0)) return undefined;
  const covariance = meanOf(xs.map((x, index) => (x - meanX) * ((ys[index] ?? 0) - meanY)));
  const scale = covariance / variance;
  return { offset: meanY - scale * meanX, scale };
}
