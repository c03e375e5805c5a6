import { AppError } from '../../shared/errors.ts';
import { seededRandom } from '../../shared/random.ts';
import type { LatencyOptions } from '../latency/table.ts';
import type { SearchSpace } from '../ofa/space.ts';
import type { AccuracyPredictor, Candidate } from '../predictor/accuracy-predictor.ts';
import { Archive, type Evaluated } from './archive.ts';
import { everyGenome, networkCount } from './exhaustive.ts';
import { candidateOf, type LatencyTables, landscapeOf, type Restriction } from './genome.ts';
import { searchGlobally, type Workshop } from './global-phase.ts';
import { Knapsack } from './knapsack.ts';
import { searchLocally } from './local-phase.ts';

/** Enough to reach the best published results on MIT's space; a search may end earlier. */
export const DEFAULT_EVALUATIONS = 100_000;
export const MAX_EVALUATIONS = 2_000_000;

export interface SearchProgress {
  readonly evaluations: number;
  /** The bound. */
  readonly of: number;
  /** Points of the front so far. */
  readonly points: number;
}

export interface SearchOptions {
  readonly space: SearchSpace;
  readonly predictor: AccuracyPredictor;
  /** One table for each precision that may be chosen; they must have every layer of the space's networks. */
  readonly latency: LatencyTables;
  /** Apply the tables' corrections for whole networks. */
  readonly correct?: LatencyOptions['correct'];
  /** A whole number: equal seeds give equal fronts. */
  readonly seed: number;
  /** Predictions at the most. */
  readonly evaluations?: number;
  readonly constraints?: { readonly maxLatencyMs?: number; readonly minAccuracy?: number };
  /** Narrows the space. */
  readonly restrict?: Restriction;
  readonly onProgress?: (progress: SearchProgress) => void;
  readonly signal?: AbortSignal;
}

/** A sub-network that no other found is both as fast and more accurate than. */
export interface FrontPoint {
  readonly candidate: Candidate;
  /** Predicted, as a fraction. */
  readonly accuracy: number;
  /** Predicted, by the table of the candidate's precision. */
  readonly latencyMs: number;
}

export interface Front {
  /** Ascending latency, ascending accuracy. */
  readonly points: readonly FrontPoint[];
  /** Predictions that were used. */
  readonly evaluations: number;
}

/**
 * Finds the best trade-offs of accuracy and latency in one run, for all latencies at once: a linear model of
 * the predictor and knapsacks over the latency table propose, the predictor decides; then networks near the
 * front are improved by what their single changes, and the best combinations of those, turn out to be worth.
 * A space with no more networks than evaluations is looked through whole. Bounded by `evaluations`, and equal
 * for equal seeds (where the predictor is). A predictor's `forGenomes` is used where it has one.
 * @throws AppError `usage` for options out of range; `invalid` for a layer that a table does not have;
 * `not-found` where nothing meets the constraints; the signal's reason once it is aborted
 */
export async function searchFront(options: SearchOptions): Promise<Front> {
  const { space, predictor, latency, correct = false, seed, restrict, constraints = {} } = options;
  const evaluations = checked(options);
  const landscape = landscapeOf(space, latency, restrict, { correct });
  const knapsack = new Knapsack(landscape);
  const { maxLatencyMs: limitMs = Number.POSITIVE_INFINITY, minAccuracy = 0 } = constraints;
  if (knapsack.fastestMs > limitMs) {
    const fastest = knapsack.fastestMs.toFixed(3);
    throw new AppError('not-found', `search: nothing takes ${limitMs} ms or less, the fastest ${fastest} ms`);
  }
  const onBatch = ({ evaluations: used, front }: Archive): void =>
    options.onProgress?.({ evaluations: used, of: evaluations, points: front.length });
  const { signal } = options;
  const archive = new Archive({ landscape, predictor, evaluations, limitMs, signal, onBatch });
  const workshop: Workshop = { landscape, archive, knapsack, random: seededRandom(seed), limitMs };
  if (networkCount(landscape) <= evaluations) await archive.evaluate(everyGenome(landscape));
  else {
    await searchGlobally(workshop);
    await searchLocally(workshop);
  }
  const points = archive.front.filter(({ accuracy }) => accuracy >= minAccuracy);
  if (points.length === 0) {
    const best = archive.front.at(-1)?.accuracy ?? 0;
    throw new AppError(
      'not-found',
      `search: nothing reaches an accuracy of ${minAccuracy}, the best ${best}`,
    );
  }
  return {
    points: points.map(({ genome, accuracy, latencyMs }: Evaluated) => ({
      candidate: candidateOf(landscape, genome),
      accuracy,
      latencyMs,
    })),
    evaluations: archive.evaluations,
  };
}

function checked({ evaluations = DEFAULT_EVALUATIONS, seed, constraints = {} }: SearchOptions): number {
  const fits = Number.isInteger(evaluations) && evaluations >= 1 && evaluations <= MAX_EVALUATIONS;
  if (!fits) {
    throw new AppError(
      'usage',
      `search: evaluations are a whole number, 1 to ${MAX_EVALUATIONS}, not ${evaluations}`,
    );
  }
  if (!Number.isSafeInteger(seed))
    throw new AppError('usage', `search: the seed is a whole number, not ${seed}`);
  const { maxLatencyMs = 1, minAccuracy = 0 } = constraints;
  if (!(maxLatencyMs > 0)) {
    throw new AppError('usage', `search: the latency limit is above 0 ms, not ${maxLatencyMs}`);
  }
  if (!(minAccuracy >= 0 && minAccuracy <= 1)) {
    throw new AppError('usage', `search: the least accuracy is a fraction, 0 to 1, not ${minAccuracy}`);
  }
  return evaluations;
}
