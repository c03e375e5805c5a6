import { added, distributionOf, EMPTY, type Histogram, isHistogram, meanOf } from './histogram.ts';

/**
 * Confidences of one level while nothing was wrong. Plain data, so that it can be kept and handed in after
 * a restart. Every level has its own: with another's a switch would look like a drift.
 */
export interface Reference {
  readonly histogram: Histogram;
  readonly sumSquares: number;
  /** Sum of the products of each confidence with the one before it. */
  readonly sumProducts: number;
  readonly last: number;
}

export const NO_REFERENCE: Reference = { histogram: EMPTY, sumSquares: 0, sumProducts: 0, last: 0 };

/** What the tests need of a reference, computed once. */
export interface Baseline {
  readonly histogram: Histogram;
  readonly mean: number;
  /** Standard deviation of the confidences. */
  readonly deviation: number;
  /** How many independent confidences each one counts for, 0..1: frames of a camera resemble the last ones. */
  readonly independence: number;
  /** How far a mean must fall to be a drift, as a confidence. */
  readonly tolerance: number;
  /** What a sum of falls is multiplied with to be the logarithm of evidence. */
  readonly slope: number;
}

/** A fall of the mean confidence by less than this many standard deviations is no drift. */
const TOLERANCE = 0.25;
/** Of the mean of the reference, in standard errors: it may be off by as much. */
const DOUBT = 2;
/** Frames that stand still for longer than this many are one frame too few to learn from. */
const LEAST_INDEPENDENCE = 0.02;
/** A network that is always as sure deviates by less than this. */
const LEAST_DEVIATION = 1e-3;
const BISECTIONS = 60;

/** Learns one more confidence, 0..1. */
export function learnt(reference: Reference, confidence: number): Reference {
  const { histogram, sumSquares, sumProducts, last } = reference;
  return {
    histogram: added(histogram, confidence),
    sumSquares: sumSquares + confidence * confidence,
    sumProducts: sumProducts + (histogram.total === 0 ? 0 : confidence * last),
    last: confidence,
  };
}

/** The reference that a list of confidences makes, each 0..1. */
export function referenceOf(confidences: Iterable<number>): Reference {
  let reference = NO_REFERENCE;
  for (const confidence of confidences) reference = learnt(reference, confidence);
  return reference;
}

/** What is computed from a reference; undefined of one that is empty or does not add up. */
export function baselineOf(reference: Reference): Baseline | undefined {
  const { histogram, sumSquares } = reference;
  const isSound = isHistogram(histogram) && sumSquares >= 0 && Number.isFinite(reference.sumProducts);
  if (!isSound) return undefined;
  const mean = meanOf(histogram);
  const variance = Math.max(LEAST_DEVIATION ** 2, sumSquares / histogram.total - mean * mean);
  const deviation = Math.sqrt(variance);
  const independence = independenceOf(reference, variance);
  const tolerance = TOLERANCE * deviation;
  const doubt = (DOUBT * deviation) / Math.sqrt(histogram.total * independence);
  const falls = distributionOf(histogram).map(({ value, share }) => ({
    value: mean - value - tolerance + Math.min(doubt, tolerance / 2),
    share,
  }));
  return { histogram, mean, deviation, independence, tolerance, slope: independence * slopeOf(falls) };
}

/** (1 - r) / (1 + r) with the correlation r of neighbours, as if confidences were autoregressive. */
function independenceOf({ histogram, sumProducts }: Reference, variance: number): number {
  const { total } = histogram;
  if (total < 2) return 1;
  const correlation = (sumProducts / (total - 1) - meanOf(histogram) ** 2) / variance;
  // Below two standard errors it is taken for chance.
  if (!(correlation > 2 / Math.sqrt(total))) return 1;
  return Math.max(LEAST_INDEPENDENCE, (1 - correlation) / (1 + correlation));
}

/**
 * The s > 0 at which exp(s x) has the mean 1, where x has a mean below 0. A sum of x that begins anywhere
 * then passes h with a probability of at most exp(-s h) (Lundberg; Ville), whatever the shape of x, and a
 * Page-Hinkley test that alarms at ln(N / alpha) / s alarms within N cases with a probability of at most
 * alpha.
 * @param distribution values with their shares, which add up to 1
 */
export function slopeOf(distribution: readonly { readonly value: number; readonly share: number }[]): number {
  const isBelow = (slope: number): boolean =>
    distribution.reduce((sum, { value, share }) => sum + share * Math.exp(slope * value), 0) < 1;
  let [low, high] = [0, 1e4];
  for (let step = 0; step < BISECTIONS; step += 1) {
    const middle = (low + high) / 2;
    if (isBelow(middle)) low = middle;
    else high = middle;
  }
  return low;
}
