import type { Random } from '../../shared/random.ts';
import { mean } from '../../shared/statistics.ts';

/** A mean with the interval that holds it in 95 of 100 repetitions. */
export interface Interval {
  readonly mean: number;
  readonly low: number;
  readonly high: number;
}

const DRAWS = 1_000;

/**
 * The mean over blocks and its 95 % interval by the bootstrap (Efron 1979, percentiles): whole blocks are drawn,
 * one per seed or repeat, so that what depends on one another within a run stays together. Blocks without a
 * value (NaN) are left out; of none of them all three are NaN.
 * @param blocks one value of each block
 */
export function bootstrapMean(blocks: readonly number[], random: Random): Interval {
  const values = blocks.filter((value) => !Number.isNaN(value));
  if (values.length === 0) return { mean: Number.NaN, low: Number.NaN, high: Number.NaN };
  const means = Array.from({ length: DRAWS }, () => {
    let sum = 0;
    for (let drawn = 0; drawn < values.length; drawn += 1) sum += values[random.below(values.length)] ?? 0;
    return sum / values.length;
  }).sort((a, b) => a - b);
  const overall = mean(values);
  return {
    mean: overall,
    low: means[Math.floor(0.025 * DRAWS)] ?? overall,
    high: means[Math.ceil(0.975 * DRAWS) - 1] ?? overall,
  };
}
