import type { Interval } from '../../shared/proportion.ts';

/** Halvings of an interval: below the resolution of a double between 0 and 1. */
const BISECTIONS = 50;

/**
 * Confidence sequence of a proportion: with probability 1 - alpha the truth lies in the intervals of ALL
 * counts at once, so that it may be looked at after every case and acted upon. Those p that a bettor with
 * the mixture Beta(1/2, 1/2) has not won 1 / alpha against: for 0 and 1 the mixture of Robbins (Ann. Math.
 * Statist. 41, 1970) is exact (Howard, Ramdas, McAuliffe, Sekhon, Ann. Statist. 49, 2021).
 * @param successes may be fractional, when cases are dependent and count less than one each
 * @returns 0..1 of no cases
 */
export function confidenceSequence(successes: number, count: number, alpha: number): Interval {
  if (!(count > 0)) return { low: 0, high: 1 };
  const failures = count - successes;
  const logMixture = logBeta(successes + 0.5, failures + 0.5) - logBeta(0.5, 0.5);
  const isRefuted = (p: number): boolean =>
    logMixture - logPower(p, successes) - logPower(1 - p, failures) >= Math.log(1 / alpha);
  const share = successes / count;
  return {
    low: isRefuted(0) ? edge(share, 0, isRefuted) : 0,
    high: isRefuted(1) ? edge(share, 1, isRefuted) : 1,
  };
}

/** ln(p^exponent), where 0^0 is 1. */
function logPower(p: number, exponent: number): number {
  return exponent === 0 ? 0 : exponent * Math.log(p);
}

/** The last refuted value between one that is not and one that is: the winnings grow away from the share. */
function edge(kept: number, refuted: number, isRefuted: (p: number) => boolean): number {
  let [inside, outside] = [kept, refuted];
  for (let step = 0; step < BISECTIONS; step += 1) {
    const middle = (inside + outside) / 2;
    if (isRefuted(middle)) outside = middle;
    else inside = middle;
  }
  return outside;
}

function logBeta(a: number, b: number): number {
  return logGamma(a) + logGamma(b) - logGamma(a + b);
}

/** ln of the gamma function of x > 0: Stirling's series from 10 on, where its third term ends below 1e-9. */
function logGamma(x: number): number {
  let shifted = x;
  let below = 0;
  while (shifted < 10) {
    below += Math.log(shifted);
    shifted += 1;
  }
  const inverse = 1 / shifted;
  const series = inverse / 12 - inverse ** 3 / 360 + inverse ** 5 / 1_260;
  return (shifted - 0.5) * Math.log(shifted) - shifted + 0.5 * Math.log(2 * Math.PI) + series - below;
}
