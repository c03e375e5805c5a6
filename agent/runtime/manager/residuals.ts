/**
 * The noise of latencies: what is left of the logarithm of measured / predicted. A sample of recent residuals
 * with a generalised Pareto tail, because latencies have heavier tails than a normal distribution, and what is
 * asked for is a tail: the share of inferences that may be late (Pickands 1975: excesses over a high threshold
 * are generalised Pareto; fitted by probability-weighted moments, Hosking and Wallis 1987).
 */
export interface Residuals {
  /** The newest residuals, the oldest first. */
  readonly ring: Float64Array;
  /** How many were ever measured. */
  readonly added: number;
  /** The same values, sorted. */
  readonly sorted: Float64Array;
  /** Standard deviation of the main peak now, from quartiles, which accidents do not move. */
  readonly sigma: number;
  /** Mean size of residuals, of late and over the sample. */
  readonly lately: number;
  readonly usually: number;
  /** Noise of late as a multiple of the sample's: applications bring theirs, and take it along. */
  readonly scale: number;
  readonly tail: ParetoTail;
}

/** P(excess over `threshold` > x) = (1 + shape x / scale) ^ (-1 / shape). */
interface ParetoTail {
  readonly threshold: number;
  readonly share: number;
  readonly scale: number;
  readonly shape: number;
}

/**
 * Noise comes and goes faster than a sample of tails is gathered: its size is followed by itself, and the sample
 * tells the shape (filtered historical simulation, Barone-Adesi, Giannopoulos and Vosper 1999).
 */
const LATELY = 24;
const USUALLY = 300;
/** Logarithms of ratios between the two: below the first it is chance, above the second believed. */
const BY_CHANCE = 0.3;
const FOR_SURE = 0.5;
/** What single accidents count for at most, standard deviations. */
const FARTHEST_SIZE = 3;

/** At 25 frames a second the last 20 s. */
const SIZE = 512;
/** Assumed values at the beginning; every second measured one pushes one of them out. */
const ASSUMED = 48;
/**
 * The upper part of the sample that the tail is fitted to: so many times the root of its size. More would be
 * smoother, but not the tail alone where noise has two peaks, as under time slicing.
 */
const TAIL_ROOTS = 4;
const MAX_TAIL_SHARE = 0.3;
/** Excesses are fitted as at most so many times their median: of an exponential tail that is all but 0.4 %. */
const FARTHEST_EXCESS = 8;
const MIN_SIGMA = 0.004;
const MAX_SIGMA = 1;
/** Quartiles so differently far from the median are in different peaks; what counts then is the median's. */
const TWO_PEAKS = 3;
/** A normal distribution's quartiles are this many standard deviations apart. */
const QUARTILES_APART = 1.349;

/** What is assumed before anything was measured: a normal distribution, soon pushed out by what is. */
export function assumedResiduals(sigma: number): Residuals {
  const sorted = Float64Array.from(
    { length: ASSUMED },
    (_, index) => sigma * probit((index + 0.5) / ASSUMED),
  );
  // In an order that leaves the rest a fair sample whenever some are gone.
  const ring = Float64Array.from({ length: ASSUMED }, (_, index) => sorted[(index * STRIDE) % ASSUMED] ?? 0);
  const size = sigma * Math.sqrt(2 / Math.PI);
  return described({ ring, added: 0, sorted, lately: size, usually: size });
}

/** Has no divisor in common with the number of values, and is near the golden ratio of it: visits all, evenly. */
const STRIDE = 29;

/** Takes one residual in; when the sample is full the oldest one leaves. */
export function addResidual(residuals: Residuals, residual: number): Residuals {
  const { ring, sorted, added } = residuals;
  const leaves = ring.length === SIZE || (added < 2 * ASSUMED && added % 2 === 1);
  const rest = leaves ? ring.subarray(1) : ring;
  const newRing = new Float64Array(rest.length + 1);
  newRing.set(rest);
  newRing[rest.length] = residual;
  const size = Math.min(Math.abs(residual), FARTHEST_SIZE * residuals.sigma);
  return described({
    ring: newRing,
    added: added + 1,
    sorted: exchanged(sorted, leaves ? ring[0] : undefined, residual),
    lately: residuals.lately + (size - residuals.lately) / LATELY,
    usually: residuals.usually + (size - residuals.usually) / Math.min(USUALLY, LATELY + added),
  });
}

/** The sorted values with one taken out and another put in. */
function exchanged(sorted: Float64Array, out: number | undefined, into: number): Float64Array {
  const from = out === undefined ? sorted.length : countAtMost(sorted, out) - 1;
  const to = countAtMost(sorted, into);
  const result = new Float64Array(sorted.length + (out === undefined ? 1 : 0));
  // What lies between the two places moves by one.
  if (to <= from) {
    result.set(sorted.subarray(0, to));
    result[to] = into;
    result.set(sorted.subarray(to, from), to + 1);
    result.set(sorted.subarray(from + 1), from + 1);
  } else {
    result.set(sorted.subarray(0, from));
    result.set(sorted.subarray(from + 1, to), from);
    result[to - 1] = into;
    result.set(sorted.subarray(to), to);
  }
  return result;
}

function described(sample: Omit<Residuals, 'sigma' | 'scale' | 'tail'>): Residuals {
  const scale = scaleOf(sample.lately / sample.usually);
  return { ...sample, scale, sigma: scale * sigmaOf(sample.sorted), tail: fitTail(sample.sorted) };
}

function scaleOf(ratio: number): number {
  const log = Math.log(ratio);
  const part = Math.min(1, Math.max(0, (Math.abs(log) - BY_CHANCE) / (FOR_SURE - BY_CHANCE)));
  return Number.isFinite(log) ? Math.exp(log * part) : 1;
}

function sigmaOf(sorted: Float64Array): number {
  const quarter = Math.floor(sorted.length / 4);
  const median = sorted[Math.floor(sorted.length / 2)] ?? 0;
  const below = median - (sorted[quarter] ?? 0);
  const above = (sorted[sorted.length - 1 - quarter] ?? 0) - median;
  const isOnePeak = Math.max(below, above) <= TWO_PEAKS * Math.min(below, above);
  const apart = isOnePeak ? below + above : 2 * Math.min(below, above);
  return Math.min(MAX_SIGMA, Math.max(MIN_SIGMA, apart / QUARTILES_APART));
}

/** Probability-weighted moments of the excesses: a0 their mean, a1 the mean of each times its share of larger ones. */
function fitTail(sorted: Float64Array): ParetoTail {
  const count = Math.round(Math.min(sorted.length * MAX_TAIL_SHARE, TAIL_ROOTS * Math.sqrt(sorted.length)));
  const first = sorted.length - count;
  const threshold = sorted[first - 1] ?? 0;
  // A single accident must not stretch the whole tail; `probabilityAbove` counts it as what it is.
  const farthest = FARTHEST_EXCESS * ((sorted[first + (count >>> 1)] ?? 0) - threshold);
  let a0 = 0;
  let a1 = 0;
  for (let index = 0; index < count; index += 1) {
    const excess = Math.min(farthest, (sorted[first + index] ?? 0) - threshold);
    a0 += excess / count;
    a1 += (excess * (count - index - 0.65)) / (count * count);
  }
  const share = count / sorted.length;
  const ratio = a0 / Math.max(a0 - 2 * a1, 1e-12);
  // Few excesses fit wild shapes; no latency is bounded sharply, none has an infinite mean.
  const shape = Math.min(0.5, Math.max(-0.2, 2 - ratio));
  return { threshold, share, shape, scale: Math.max(a0 * (1 - shape), 1e-9) };
}

/** Probability that a residual is above another: by the tail, and no less than half of what was seen. */
export function probabilityAbove({ sorted, tail, scale }: Residuals, residual: number): number {
  const value = residual / scale;
  if (value <= tail.threshold) return 1 - shareBelow(sorted, value);
  const fitted = tailAbove(tail, value);
  if (value >= (sorted[sorted.length - 1] ?? 0)) return fitted;
  const seen = (sorted.length - countAtMost(sorted, value) - 0.5) / sorted.length;
  return Math.max(seen / 2, fitted);
}

function tailAbove({ threshold, share, scale, shape }: ParetoTail, value: number): number {
  const base = 1 + (shape * (value - threshold)) / scale;
  if (base <= 0) return 0;
  if (Math.abs(shape) < 1e-6) return share * Math.exp(-(value - threshold) / scale);
  return share * base ** (-1 / shape);
}

/** The residual that is passed with this probability, 0..1. */
export function quantileAbove(residuals: Residuals, probability: number): number {
  return residuals.scale * quantileOfSample(residuals, probability);
}

function quantileOfSample({ sorted, tail }: Residuals, probability: number): number {
  const { threshold, share, scale, shape } = tail;
  const count = sorted.length;
  const index = Math.max(0, Math.floor((1 - probability) * count));
  if (probability >= share) return sorted[Math.min(count - 1, index)] ?? 0;
  const seen = sorted[count - Math.floor(2 * probability * count + 0.5)] ?? threshold;
  const ratio = Math.max(probability, 1e-9) / share;
  const fitted = Math.abs(shape) < 1e-6 ? -Math.log(ratio) : (ratio ** -shape - 1) / shape;
  return Math.max(seen, threshold + scale * fitted);
}

/** Share of the sample below a value, interpolated between its neighbours. */
function shareBelow(sorted: Float64Array, value: number): number {
  const above = countAtMost(sorted, value);
  if (above === 0) return 0;
  const lower = sorted[above - 1] ?? value;
  const upper = sorted[above] ?? value;
  const between = upper > lower ? (value - lower) / (upper - lower) : 0;
  return Math.min(1, (above - 0.5 + between) / sorted.length);
}

/** How many of the sorted values are at most `value`. */
function countAtMost(sorted: Float64Array, value: number): number {
  let low = 0;
  let high = sorted.length;
  while (low < high) {
    const middle = (low + high) >>> 1;
    if ((sorted[middle] ?? 0) <= value) low = middle + 1;
    else high = middle;
  }
  return low;
}

/** Quantile of the standard normal distribution (Acklam's rational approximation, relative error 1.2e-9). */
export function probit(p: number): number {
  const a = [
    -39.69683028665376, 220.9460984245205, -275.9285104469687, 138.357751867269, -30.66479806614716,
    2.506628277459239,
  ];
  const b = [
    -54.47609879822406, 161.5858368580409, -155.6989798598866, 66.80131188771972, -13.28068155288572, 1,
  ];
  const c = [
    -0.007784894002430293, -0.3223964580411365, -2.400758277161838, -2.549732539343734, 4.374664141464968,
    2.938163982698783,
  ];
  const d = [0.007784695709041462, 0.3224671290700398, 2.445134137142996, 3.754408661907416, 1];
  const horner = (coefficients: readonly number[], x: number): number =>
    coefficients.reduce((sum, coefficient) => sum * x + coefficient, 0);
  if (p > 0.5) return -probit(1 - p);
  if (p < 0.02425) {
    const q = Math.sqrt(-2 * Math.log(p));
    return horner(c, q) / horner(d, q);
  }
  const q = p - 0.5;
  return (q * horner(a, q * q)) / horner(b, q * q);
}
