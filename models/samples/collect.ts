import type { Precision } from '../../shared/family/manifest.ts';
import type { Dataset } from '../datasets/dataset.ts';
import { accuracyOf, makeSubNetwork, nameOf, type Workshop } from '../family/measure.ts';
import { sampleArchitectures } from '../latency/sample.ts';
import { type Architecture, extremeArchitecture } from '../ofa/architecture.ts';
import { cutModel } from '../ofa/cut.ts';
import type { SearchSpace } from '../ofa/space.ts';
import type { Candidate } from '../predictor/accuracy-predictor.ts';

/** Which sub-networks are evaluated. */
export interface SamplePlan {
  /** How many of each precision; the extremes of every resolution are among them. */
  readonly counts: Readonly<Partial<Record<Precision, number>>>;
  readonly seed: number;
}

/** A sub-network with its measured accuracy, 0..1. */
export interface EvaluatedSample extends Candidate {
  readonly accuracy: number;
}

/** The sub-networks of a plan: the smallest and the largest of every resolution, then random ones. */
export function plannedSamples(space: SearchSpace, { counts, seed }: SamplePlan): Candidate[] {
  return (['fp32', 'int8'] as const).flatMap((precision, index) => {
    const count = counts[precision] ?? 0;
    const architectures = architecturesOf(space, count, seed + index);
    return architectures.map((architecture) => ({ architecture, precision }));
  });
}

function architecturesOf(space: SearchSpace, count: number, seed: number): Architecture[] {
  const extremes = space.resolutions.flatMap((r) => [
    { ...extremeArchitecture(space, 'smallest'), r },
    { ...extremeArchitecture(space, 'largest'), r },
  ]);
  const chosen = extremes.slice(0, count);
  const random = sampleArchitectures(space, {
    resolutions: space.resolutions,
    count: count - chosen.length,
    seed,
  });
  return [...chosen, ...random];
}

/**
 * Calibrates and evaluates sub-networks, one after the other.
 * @param onSample called after each, with how many are done
 */
export async function collectSamples(
  shop: Workshop,
  choices: readonly Candidate[],
  evaluation: Dataset,
  onSample: (done: number, what: string) => void,
): Promise<EvaluatedSample[]> {
  const samples: EvaluatedSample[] = [];
  for (const choice of choices) {
    shop.signal?.throwIfAborted();
    const { recipe } = await makeSubNetwork(shop, choice);
    const model = cutModel(shop.backbone, recipe);
    const { accuracy } = await accuracyOf(shop, model, evaluation, nameOf(choice));
    samples.push({ ...choice, accuracy });
    onSample(samples.length, nameOf(choice));
  }
  return samples;
}
