import type { Architecture } from '../ofa/architecture.ts';

/** What the weights and activations of a network are computed in. */
export type Precision = 'fp32' | 'int8';

/** A sub-network that could be cut and served. */
export interface Candidate {
  readonly architecture: Architecture;
  readonly precision: Precision;
}

/** Something that foretells how accurate sub-networks of one search space are. */
export interface AccuracyPredictor {
  /** For people. */
  readonly name: string;
  /**
   * Top-1 accuracy of each candidate, as a fraction. Candidates are in the predictor's space: the caller
   * has checked them.
   */
  predict(candidates: readonly Candidate[]): Promise<ArrayLike<number>>;
}
