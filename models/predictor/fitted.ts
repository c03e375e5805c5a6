import Type, { type Static } from 'typebox';
import { type Cholesky, choleskyOf, solveLower, solveUpper } from '../../shared/cholesky.ts';
import { AppError } from '../../shared/errors.ts';
import type { Precision } from '../../shared/family/manifest.ts';
import { type Parser, parserOf } from '../../shared/schema.ts';
import { mean } from '../../shared/statistics.ts';
import { type Architecture, checkArchitecture } from '../ofa/architecture.ts';
import type { SearchSpace } from '../ofa/space.ts';
import { kendallTau } from '../statistics.ts';
import type { AccuracyPredictor, Candidate } from './accuracy-predictor.ts';
import { type Feature, featuresOf } from './features.ts';

/** A sub-network whose accuracy was measured. */
export interface AccuracySample {
  readonly architecture: Architecture;
  /** `fp32` where it is left out. */
  readonly precision?: Precision;
  /** As a fraction. */
  readonly accuracy: number;
}

/** How well a predictor foretells samples that it was not fitted to (each left out once). */
export interface PredictorQuality {
  readonly samples: number;
  /** Root mean square error, as a fraction: 0.003 is 0.3 points. It holds the samples' own noise too. */
  readonly rmse: number;
  /** Share of the variance that is explained; 0 or below says no more than the mean does. */
  readonly r2: number;
  /** Kendall's tau-b of predicted and measured order; null where all accuracies are equal. */
  readonly kendallTau: number | null;
}

const QualitySchema = Type.Object({
  samples: Type.Integer({ minimum: 1 }),
  rmse: Type.Number({ minimum: 0 }),
  r2: Type.Number({ maximum: 1 }),
  kendallTau: Type.Union([Type.Number({ minimum: -1, maximum: 1 }), Type.Null()]),
});

/** A fitted predictor as it is written: a weight for each feature of its space. */
export const FittedFileSchema = Type.Object({
  form: Type.Literal('ofa-accuracy-ridge-1'),
  intercept: Type.Number(),
  ridge: Type.Number({ exclusiveMinimum: 0 }),
  weights: Type.Record(Type.String({ maxLength: 100 }), Type.Number(), { maxProperties: 2_000 }),
  quality: QualitySchema,
});
export type FittedFile = Readonly<Static<typeof FittedFileSchema>>;

export interface FittedPredictor extends AccuracyPredictor {
  readonly quality: PredictorQuality;
  /** What is written; `loadFitted` reads it back to an equal predictor. */
  readonly file: FittedFile;
}

export const MIN_SAMPLES = 8;
export const MAX_SAMPLES = 2_000;
const MAX_FEATURES = 800;

/** Penalties that are tried: from next to none for exact samples to one that keeps only the mean. */
const RIDGES = [0.003, 0.01, 0.03, 0.1, 0.3, 1, 3, 10, 30, 100];

/**
 * Fits a predictor to measured samples by ridge regression (Hoerl and Kennard 1970), with the penalty that
 * foretells left-out samples best. Useful from some 40 samples on; with noise of 0.3 points its `quality`
 * cannot be better than that. Deterministic, closed form.
 * @throws AppError `invalid` for too few or too many samples, one that is not in the space, or an accuracy
 * that is no fraction
 */
export function fitPredictor(space: SearchSpace, samples: readonly AccuracySample[]): FittedPredictor {
  if (samples.length < MIN_SAMPLES || samples.length > MAX_SAMPLES) {
    throw new AppError(
      'invalid',
      `accuracy predictor: ${samples.length} samples, expected ${MIN_SAMPLES} to ${MAX_SAMPLES}`,
    );
  }
  for (const [index, { architecture, accuracy }] of samples.entries()) {
    checkArchitecture(space, architecture, `sample ${index}`);
    if (!(accuracy >= 0 && accuracy <= 1)) {
      throw new AppError('invalid', `sample ${index}: accuracy is a fraction, 0 to 1, not ${accuracy}`);
    }
  }
  const features = featuresFor(space);
  const design = designOf(features, samples);
  const measured = samples.map(({ accuracy }) => accuracy);
  const fits = RIDGES.map((ridge) => ridgeFit(design, measured, ridge));
  const best = fits.reduce((least, one) => (one.error < least.error ? one : least));
  const file: FittedFile = {
    form: 'ofa-accuracy-ridge-1',
    intercept: best.intercept,
    ridge: best.ridge,
    weights: Object.fromEntries(features.map(({ name }, index) => [name, best.weights[index] ?? 0])),
    quality: qualityOf(measured, best.leftOut),
  };
  return predictorOf(features, file);
}

/** Makes the parser of written predictors. */
export function fittedFileParser(): Parser<FittedFile> {
  return parserOf(FittedFileSchema);
}

/**
 * A predictor that was written before.
 * @throws AppError `invalid` if it was fitted in another space
 */
export function loadFitted(space: SearchSpace, file: FittedFile, what: string): FittedPredictor {
  const features = featuresFor(space);
  const missing = features.find(({ name }) => !Object.hasOwn(file.weights, name));
  const names = new Set(features.map(({ name }) => name));
  const strange = Object.keys(file.weights).find((name) => !names.has(name));
  if (missing !== undefined || strange !== undefined) {
    const problem = missing === undefined ? `a weight for ${strange}` : `no weight for ${missing.name}`;
    throw new AppError('invalid', `${what}: has ${problem}: it was fitted in another search space`);
  }
  return predictorOf(features, file);
}

function featuresFor(space: SearchSpace): Feature[] {
  const features = featuresOf(space);
  if (features.length > MAX_FEATURES) {
    throw new AppError('invalid', `search space: ${features.length} features, more than ${MAX_FEATURES}`);
  }
  return features;
}

function predictorOf(features: readonly Feature[], file: FittedFile): FittedPredictor {
  const weights = features.map(({ name, of }) => ({ of, weight: file.weights[name] ?? 0 }));
  const one = (candidate: Candidate): number => {
    const sum = weights.reduce((total, { of, weight }) => total + weight * of(candidate), file.intercept);
    return Math.min(1, Math.max(0, sum));
  };
  return {
    name: 'fitted',
    quality: file.quality,
    file,
    predict: (candidates) => Promise.resolve(Float64Array.from(candidates, one)),
  };
}

/** Features of each sample with their means taken off, and those means. */
interface Design {
  readonly rows: readonly Float64Array[];
  readonly means: Float64Array;
  readonly gram: Float64Array;
}

function designOf(features: readonly Feature[], samples: readonly AccuracySample[]): Design {
  const raw = samples.map(({ architecture, precision = 'fp32' }) =>
    Float64Array.from(features, ({ of }) => of({ architecture, precision })),
  );
  const size = features.length;
  const means = new Float64Array(size).map(
    (_, index) => raw.reduce((sum, row) => sum + (row[index] ?? 0), 0) / raw.length,
  );
  const rows = raw.map((row) => row.map((value, index) => value - (means[index] ?? 0)));
  const gram = new Float64Array(size * size);
  for (const row of rows) {
    for (let a = 0; a < size; a += 1) {
      for (let b = 0; b <= a; b += 1) {
        gram[a * size + b] = (gram[a * size + b] ?? 0) + (row[a] ?? 0) * (row[b] ?? 0);
      }
    }
  }
  return { rows, means, gram };
}

/** One ridge, with what it foretells of each sample from the others. */
function ridgeFit({ rows, means, gram }: Design, measured: readonly number[], ridge: number) {
  const size = means.length;
  const meanMeasured = mean(measured);
  const penalised = Float64Array.from(gram);
  const target = new Float64Array(size);
  for (let index = 0; index < size; index += 1) {
    penalised[index * size + index] = (gram[index * size + index] ?? 0) + ridge;
    target[index] = rows.reduce(
      (sum, row, sample) => sum + (row[index] ?? 0) * ((measured[sample] ?? 0) - meanMeasured),
      0,
    );
  }
  const cholesky = choleskyOf(penalised, size);
  const weights = solveUpper(cholesky, solveLower(cholesky, target));
  const leftOut = rows.map((row, sample) =>
    leaveOneOut(cholesky, row, measured[sample] ?? 0, meanMeasured + dot(row, weights), rows.length),
  );
  const error = leftOut.reduce((sum, value, sample) => sum + (value - (measured[sample] ?? 0)) ** 2, 0);
  return { ridge, weights, leftOut, error, intercept: meanMeasured - dot(means, weights) };
}

/** What the fit without a sample foretells of it, by its leverage (Allen 1974: PRESS); no second fit. */
function leaveOneOut(
  cholesky: Cholesky,
  row: Float64Array,
  measured: number,
  fitted: number,
  samples: number,
): number {
  const half = solveLower(cholesky, row);
  const leverage = 1 / samples + dot(half, half);
  return measured - (measured - fitted) / Math.max(1e-9, 1 - leverage);
}

function dot(a: Float64Array, b: Float64Array): number {
  return a.reduce((sum, value, index) => sum + value * (b[index] ?? 0), 0);
}

function qualityOf(measured: readonly number[], leftOut: readonly number[]): PredictorQuality {
  const meanMeasured = mean(measured);
  const spread = measured.reduce((sum, value) => sum + (value - meanMeasured) ** 2, 0);
  const error = measured.reduce((sum, value, index) => sum + (value - (leftOut[index] ?? 0)) ** 2, 0);
  const tau = kendallTau(measured, leftOut);
  return {
    samples: measured.length,
    rmse: Math.sqrt(error / measured.length),
    r2: spread > 0 ? 1 - error / spread : 0,
    kendallTau: Number.isFinite(tau) ? tau : null,
  };
}
