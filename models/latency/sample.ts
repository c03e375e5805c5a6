import { pick, seededRandom } from '../../shared/random.ts';
import { type Architecture, canonicalArchitecture } from '../ofa/architecture.ts';
import { blocksPerStage, type SearchSpace } from '../ofa/space.ts';

/**
 * Architectures of the space at random, in canonical form; the resolutions take turns, so that each has its
 * share. The same seed gives the same ones.
 */
export function sampleArchitectures(
  space: SearchSpace,
  { resolutions, count, seed }: { readonly resolutions: readonly number[]; count: number; seed: number },
): Architecture[] {
  const random = seededRandom(seed);
  const pickEach = (choices: readonly number[], length: number): number[] =>
    Array.from({ length }, () => pick(random, choices));
  const stages = space.stages.length;
  const blocks = stages * blocksPerStage(space);
  return Array.from({ length: count }, (_, index) =>
    canonicalArchitecture(space, {
      ks: pickEach(space.kernelSizes, blocks),
      e: pickEach(space.expandRatios, blocks),
      d: pickEach(space.depths, stages),
      r: resolutions[index % resolutions.length] ?? Number.NaN,
    }),
  );
}
