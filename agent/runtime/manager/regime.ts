/** A level of load that the machine stays near. */
export interface Regime {
  /** Logarithm of the slowdown. */
  readonly mean: number;
  /** Its change per inference. */
  readonly trend: number;
  /** Inferences that the mean is made of, at most those that it remembers. */
  readonly seen: number;
}

/** Inferences that a settled mean remembers. */
const MEMORY = 24;
/** Follows a ramp without lag, critically damped beside a mean of this memory (alpha-beta filter). */
const TREND_GAIN = 0.0015;
const MAX_TREND = 0.02;

/** Of a normal distribution around the regime; its mean is known as well as its inferences tell. */
export function density(x: number, { mean, seen }: Regime, sigma: number): number {
  const wide = sigma * Math.sqrt(1 + 1 / seen);
  return Math.exp(-0.5 * ((x - mean) / wide) ** 2) / (wide * Math.sqrt(2 * Math.PI));
}

/** A mean of all inferences at first, of the newest ones later, with a trend. */
export function follow(regime: Regime, x: number): Regime {
  const seen = Math.min(MEMORY, regime.seen + 1);
  const residual = x - regime.mean;
  const trend = seen < MEMORY ? 0 : regime.trend + TREND_GAIN * residual;
  return {
    mean: regime.mean + residual / seen + trend,
    trend: Math.min(MAX_TREND, Math.max(-MAX_TREND, trend)),
    seen,
  };
}
