/** The constants of ALERT's filters. */
export interface AlertConstants {
  /** Least process noise: Q_0. */
  readonly leastNoise: number;
  /** Measurement noise: R. */
  readonly measurementNoise: number;
  /** Noise of a single inference that a prediction reckons with, besides the doubt about the mean. */
  readonly predictionNoise: number;
}

/** As published. */
export const PUBLISHED: AlertConstants = { leastNoise: 0.1, measurementNoise: 0.001, predictionNoise: 0 };
/**
 * For levels that lie close together: with the published noise floor only the fastest one is ever probable. With
 * a floor this low the doubt about the mean is less than the noise of one inference, which has to be added, or
 * deadlines are missed several times as often as predicted: 3.5 %, as steady inference on a Jetson varies.
 */
export const TUNED: AlertConstants = {
  leastNoise: 2e-4,
  measurementNoise: 1.5e-3,
  predictionNoise: 0.035 ** 2,
};

/** How much of the last process noise is kept. */
const ALPHA = 0.3;

/** Belief of the slowdown: normal, with this mean and variance. */
export interface SlowdownFilter {
  readonly mean: number;
  readonly variance: number;
  readonly gain: number;
  readonly noise: number;
  /** Of the last inference: measured slowdown less the mean before it. */
  readonly innovation: number;
}

/** Before the first inference: mu_0 1, sigma_0^2 0.1, K_0 0.5. */
export function initialSlowdown({ leastNoise }: AlertConstants): SlowdownFilter {
  return { mean: 1, variance: 0.1, gain: 0.5, noise: leastNoise, innovation: 0 };
}

/**
 * One step of ALERT's adaptive Kalman filter of the slowdown (Wan et al., USENIX ATC 2020, section 3.3).
 * @param measured measured latency as a multiple of the profile's
 */
export function nextSlowdown(
  before: SlowdownFilter,
  measured: number,
  { leastNoise, measurementNoise }: AlertConstants,
): SlowdownFilter {
  const noise = Math.max(
    leastNoise,
    ALPHA * before.noise + (1 - ALPHA) * (before.gain * before.innovation) ** 2,
  );
  const variance = (1 - before.gain) * before.variance + noise;
  const gain = variance / (variance + measurementNoise);
  const innovation = measured - before.mean;
  return { mean: before.mean + gain * innovation, variance, gain, noise, innovation };
}

/** Probability that an inference takes no more than so many times its profiled latency: Phi((T / t - mu) / sigma). */
export function metProbability(
  { mean, variance }: SlowdownFilter,
  times: number,
  { predictionNoise }: AlertConstants,
): number {
  return normalCdf((times - mean) / Math.sqrt(variance + predictionNoise));
}

/** Belief of the idle-power ratio: power between inferences as a multiple of the power within them. */
export interface IdleFilter {
  readonly ratio: number;
  readonly variance: number;
}

/** M_0 0.01; no idle power until some has been measured. */
export const INITIAL_IDLE: IdleFilter = { ratio: 0, variance: 0.01 };

const IDLE_PROCESS_NOISE = 0.0001;
const IDLE_MEASUREMENT_NOISE = 0.001;

/** One step of ALERT's filter of the idle-power ratio phi. */
export function nextIdle({ ratio, variance }: IdleFilter, measured: number): IdleFilter {
  const predicted = variance + IDLE_PROCESS_NOISE;
  const gain = predicted / (predicted + IDLE_MEASUREMENT_NOISE);
  return { ratio: ratio + gain * (measured - ratio), variance: (1 - gain) * predicted };
}

/** Distribution function of the standard normal distribution; within 1e-7 (Abramowitz and Stegun 26.2.17). */
export function normalCdf(z: number): number {
  const t = 1 / (1 + 0.2316419 * Math.abs(z));
  const series =
    t * (0.31938153 + t * (-0.356563782 + t * (1.781477937 + t * (-1.821255978 + t * 1.330274429))));
  const upper = (series * Math.exp((-z * z) / 2)) / Math.sqrt(2 * Math.PI);
  return z >= 0 ? 1 - upper : upper;
}
