import fc from 'fast-check';
import type { Architecture } from '../../models/ofa/architecture.ts';
import { blocksPerStage, type SearchSpace } from '../../models/ofa/space.ts';

/** Any architecture of a space. */
export function anyArchitecture(space: SearchSpace): fc.Arbitrary<Architecture> {
  const stages = space.stages.length;
  const blocks = stages * blocksPerStage(space);
  const list = (choices: readonly number[], length: number) =>
    fc.array(fc.constantFrom(...choices), { minLength: length, maxLength: length });
  return fc.record({
    ks: list(space.kernelSizes, blocks),
    e: list(space.expandRatios, blocks),
    d: list(space.depths, stages),
    r: fc.constantFrom(...space.resolutions),
  });
}
