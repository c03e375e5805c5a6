/**
 * Confidences (greatest softmax probabilities, 0..1) counted in bins of equal width in log-odds: most of
 * what a trained network says lies just below 1, and there the bins must be fine. Rank statistics do not
 * change under such a stretching.
 */
export interface Histogram {
  /** One count a bin. */
  readonly counts: readonly number[];
  readonly total: number;
  /** Sum of the confidences themselves. */
  readonly sum: number;
}

/** Log-odds of 1/400 and of 1 - 1.5e-8, the resolution of a float32 just below 1. */
const LOWEST = -6;
const HIGHEST = 18;
const BINS = 96;
const WIDTH = (HIGHEST - LOWEST) / BINS;

export const EMPTY: Histogram = { counts: Array.from({ length: BINS }, () => 0), total: 0, sum: 0 };

/** Whether a histogram that comes from elsewhere has the bins of this one, and counts. */
export function isHistogram({ counts, total, sum }: Histogram): boolean {
  const counted = counts.reduce((all, count) => all + (count >= 0 ? count : Number.NaN), 0);
  return counts.length === BINS && total > 0 && counted === total && sum >= 0 && sum <= total;
}

/** Adds a confidence, 0..1. */
export function added({ counts, total, sum }: Histogram, confidence: number): Histogram {
  const bin = Math.floor(clamp((logOdds(confidence) - LOWEST) / WIDTH, 0, BINS - 1));
  return { counts: counts.with(bin, (counts[bin] ?? 0) + 1), total: total + 1, sum: sum + confidence };
}

/** All that two histograms hold. */
export function merged(a: Histogram, b: Histogram): Histogram {
  if (a.total === 0) return b;
  return {
    counts: a.counts.map((count, bin) => count + (b.counts[bin] ?? 0)),
    total: a.total + b.total,
    sum: a.sum + b.sum,
  };
}

/** Mean confidence; NaN of none. */
export function meanOf({ sum, total }: Histogram): number {
  return sum / total;
}

/** The middles of the bins as confidences, with the share that lies in each. */
export function distributionOf({ counts, total }: Histogram): { value: number; share: number }[] {
  return counts.map((count, bin) => ({
    value: 1 / (1 + Math.exp(-(LOWEST + (bin + 0.5) * WIDTH))),
    share: count / total,
  }));
}

/**
 * Two-sample Kolmogorov-Smirnov distance, 0..1, over the edges of the bins: at most that of the confidences
 * themselves, so that bins can hide a difference and never make one.
 */
export function ksDistance(a: Histogram, b: Histogram): number {
  let distance = 0;
  let [belowA, belowB] = [0, 0];
  for (const [bin, count] of a.counts.entries()) {
    belowA += count;
    belowB += b.counts[bin] ?? 0;
    distance = Math.max(distance, Math.abs(belowA / a.total - belowB / b.total));
  }
  return distance;
}

/** The place, in bins and fractions of one, that `share` (0..1) of the confidences lie below. */
export function quantilePlace({ counts, total }: Histogram, share: number): number {
  let left = clamp(share, 0, 1) * total;
  for (const [bin, count] of counts.entries()) {
    if (count > 0 && left <= count) return bin + left / count;
    left -= count;
  }
  return BINS;
}

/** Share of the confidences at or above a place; within a bin they are taken as evenly spread. */
export function shareAbove({ counts, total }: Histogram, place: number): number {
  const above = counts.reduce((sum, count, bin) => sum + count * clamp(bin + 1 - place, 0, 1), 0);
  return above / total;
}

function logOdds(confidence: number): number {
  return Math.log(confidence / (1 - confidence));
}

function clamp(value: number, low: number, high: number): number {
  return Math.min(high, Math.max(low, value));
}
