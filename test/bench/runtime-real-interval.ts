import { mean } from '../../shared/statistics.ts';

/** Mean of independent repeats, and half the width of its interval. */
export interface Estimate {
  readonly mean: number;
  readonly half95: number;
  readonly half99: number;
}

/** Quantiles of Student's t at 97.5 % and 99.5 %, by degrees of freedom from 1 on. */
const T_QUANTILES: readonly (readonly [t95: number, t99: number])[] = [
  [12.706, 63.657],
  [4.303, 9.925],
  [3.182, 5.841],
  [2.776, 4.604],
  [2.571, 4.032],
  [2.447, 3.707],
  [2.365, 3.499],
  [2.306, 3.355],
  [2.262, 3.25],
];

/** Mean and interval by Student's t; the interval is infinite for less than two values. */
export function estimate(values: readonly number[]): Estimate {
  const centre = mean(values);
  const freedom = values.length - 1;
  const [t95, t99] = T_QUANTILES[Math.min(freedom, T_QUANTILES.length) - 1] ?? [Infinity, Infinity];
  const variance = values.reduce((sum, value) => sum + (value - centre) ** 2, 0) / Math.max(1, freedom);
  const error = freedom < 1 ? 1 : Math.sqrt(variance / values.length);
  return { mean: centre, half95: t95 * error, half99: t99 * error };
}

/** Mean and interval of the differences of values that belong together. */
export function pairedDifference(left: readonly number[], right: readonly number[]): Estimate {
  return estimate(left.map((value, index) => value - (right[index] ?? Number.NaN)));
}
