import type { Precision } from '../../shared/family/manifest.ts';
import type { Architecture } from '../ofa/architecture.ts';

/** A sub-network that could be cut and served. */
export interface Candidate {
  readonly architecture: Architecture;
  readonly precision: Precision;
}

/** What the numbers of a genome stand for. */
export interface GenomeCoding {
  readonly settings: readonly { readonly r: number; readonly precision: Precision }[];
  readonly choices: readonly { readonly kernel: number; readonly ratio: number }[];
  readonly stages: number;
  readonly perStage: number;
}

/**
 * Top-1 accuracy of sub-networks, as fractions, each written as [setting, depth of each stage, choice of each
 * block]: settings and choices by their index in the coding.
 */
export type PredictGenomes = (genomes: readonly Uint16Array[]) => Promise<ArrayLike<number>>;

/** Something that foretells how accurate sub-networks of one search space are. */
export interface AccuracyPredictor {
  /** For people. */
  readonly name: string;
  /**
   * Top-1 accuracy of each candidate, as a fraction. Candidates are in the predictor's space: the caller
   * has checked them.
   */
  predict(candidates: readonly Candidate[]): Promise<ArrayLike<number>>;
  /**
   * The same for genomes of one coding, where the predictor has a faster way than by candidates: a search asks
   * for tens of thousands.
   * @throws AppError `invalid` for a coding with values that the predictor does not know
   */
  readonly forGenomes?: (coding: GenomeCoding) => PredictGenomes;
}
