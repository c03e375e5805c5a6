import { dot, inverseOf, type Matrix, times } from './matrix.ts';

/** A coefficient before anything was measured. */
export interface Prior {
  readonly mean: number;
  readonly deviation: number;
}

/**
 * Linear regression that learns as it goes: least squares over what was measured and the priors. Sums are
 * kept, and solved anew for every measurement: the noise, which weighs them against the priors, is learnt too.
 */
export interface Regression {
  readonly priors: readonly Prior[];
  /** Sum of the products of the factors with each other and with y, what is forgotten taken off. */
  readonly products: Matrix;
  readonly withY: readonly number[];
  /** Variance of a measurement about what is predicted. */
  readonly noise: number;
  readonly least: number;
  readonly count: number;
}

/**
 * What one measurement leaves of those before it: 500 of them count. All alike: forgetting only coefficients
 * that took part would make rows of a steady load differ, and tell apart what cannot be told apart.
 */
const KEPT = 0.998;
/** A surprise counts as at most so many standard deviations (Huber 1964): other programs run too. */
const MOST_SURPRISE = 2;
/** Mean of min(z^2, 2^2) for a standard normal z: what a variance out of cut surprises is divided by. */
const CUT_VARIANCE = 0.9205;
const NOISE_GAIN = 0.02;

/** @param noise variance of a measurement, guessed; it is learnt. It never goes below `least` */
export function newRegression(priors: readonly Prior[], noise: number, least: number): Regression {
  const zeros = priors.map(() => 0);
  return { priors, products: zeros.map(() => zeros), withY: zeros, noise, least, count: 0 };
}

/**
 * Takes in one measurement `y = factors . coefficients`. What is forgotten goes back to the priors, which
 * are not (stabilised forgetting; Kulhavy and Zarrop, Int. J. Control 58, 1993): nothing winds up where
 * nothing is measured.
 */
export function measured(regression: Regression, factors: readonly number[], y: number): Regression {
  const { priors, products, withY, noise, least, count } = regression;
  const solution = solve(regression);
  // Rounding has eaten the sums: begin anew from the priors.
  if (solution === undefined) return { ...newRegression(priors, noise, least), count };
  const variance = noise + dot(factors, times(solution.covariance, factors));
  const expected = dot(factors, solution.mean);
  const most = MOST_SURPRISE * Math.sqrt(variance);
  const surprise = Math.min(most, Math.max(-most, y - expected));
  const gain = Math.max(NOISE_GAIN, 1 / (count + 2));
  const share = surprise ** 2 / variance / CUT_VARIANCE;
  return {
    priors,
    products: products.map((row, i) =>
      row.map((value, j) => KEPT * value + (factors[i] ?? 0) * (factors[j] ?? 0)),
    ),
    withY: withY.map((value, i) => KEPT * value + (factors[i] ?? 0) * (expected + surprise)),
    noise: Math.max(least, noise * (1 + gain * (share - 1))),
    least,
    count: count + 1,
  };
}

/** The same with other priors. */
export function withPriors(regression: Regression, priors: readonly Prior[]): Regression {
  return { ...regression, priors };
}

/** Mean and standard deviation of the coefficients, of which none can be below 0. */
export function coefficients(regression: Regression): Prior[] {
  const solution = solve(regression);
  if (solution === undefined) return [...regression.priors];
  const { precision, covariance, mean } = solution;
  return nonNegative(precision, mean).map((value, i) => ({
    mean: Math.max(0, value),
    deviation: Math.sqrt(covariance[i]?.[i] ?? 0),
  }));
}

function solve({ priors, products, withY, noise }: Regression) {
  const certainty = priors.map(({ deviation }) => 1 / deviation ** 2);
  const precision = products.map((row, i) =>
    row.map((value, j) => value / noise + (i === j ? (certainty[i] ?? 0) : 0)),
  );
  const covariance = inverseOf(precision);
  if (covariance === undefined) return undefined;
  const target = priors.map((prior, i) => (withY[i] ?? 0) / noise + (certainty[i] ?? 0) * prior.mean);
  return { precision, covariance, mean: times(covariance, target) };
}

/** Least squares where those coefficients that come out below 0 are held at 0, and the others follow. */
function nonNegative(precision: Matrix, mean: readonly number[]): number[] {
  let free = mean.map((_, index) => index);
  let values = [...mean];
  const target = times(precision, mean);
  for (let round = 0; round < mean.length && values.some((value) => value < 0); round += 1) {
    free = free.filter((index) => (values[index] ?? 0) >= 0);
    const inverse = inverseOf(free.map((row) => free.map((column) => precision[row]?.[column] ?? 0)));
    if (inverse === undefined) return values;
    const solution = times(
      inverse,
      free.map((index) => target[index] ?? 0),
    );
    values = mean.map((_, index) => solution[free.indexOf(index)] ?? 0);
  }
  return values;
}
