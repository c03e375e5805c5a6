import { AppError, invariant } from '../../shared/errors.ts';
import { type Architecture, type BlockShape, blockShapes } from '../ofa/architecture.ts';
import { blocksPerStage, type SearchSpace } from '../ofa/space.ts';
import { layerKeys } from './table.ts';

/** What a layer of a table is made of; `side` is that of its square input, in pixels. */
export type LayerShape =
  | { readonly kind: 'stem'; readonly resolution: number }
  | { readonly kind: 'block'; readonly block: BlockShape }
  | { readonly kind: 'final-expand'; readonly side: number; readonly inChannels: number }
  | { readonly kind: 'pool'; readonly side: number }
  | { readonly kind: 'feature-mix' }
  | { readonly kind: 'classifier' };

export interface TableLayer {
  /** As tables have it, see `layerKeys`. */
  readonly key: string;
  readonly shape: LayerShape;
}

/** More layers than this at one resolution are no space that anyone measures. */
const MAX_LAYERS = 5_000;

/**
 * Every distinct layer that any architecture of the space can have, at each of these resolutions, in the
 * order of a network.
 * @throws AppError `invalid` for a resolution that the space does not have, or for more layers than a table
 * can be measured of
 */
export function tableLayers(
  space: SearchSpace,
  resolutions: readonly number[],
): ReadonlyMap<number, readonly TableLayer[]> {
  return new Map(resolutions.map((resolution) => [resolution, layersAt(space, resolution)]));
}

function layersAt(space: SearchSpace, resolution: number): readonly TableLayer[] {
  if (!space.resolutions.includes(resolution)) {
    const known = space.resolutions.join(', ');
    throw new AppError('invalid', `latency table: the space has no resolution ${resolution}, only ${known}`);
  }
  const architectures = uniformArchitectures(space, resolution);
  const networks = architectures.map((architecture) => layersOf(space, architecture));
  const places = networks[0]?.length ?? 0;
  const byKey = new Map<string, TableLayer>();
  for (let place = 0; place < places; place += 1) {
    for (const network of networks) {
      const layer = network[place];
      if (layer !== undefined) byKey.set(layer.key, layer);
    }
  }
  return [...byKey.values()];
}

/**
 * Networks whose blocks are all alike. A block's shape does not depend on the kernels and ratios of others,
 * nor on how many blocks its stage has: with all blocks running, these have every layer of the space.
 */
function uniformArchitectures(space: SearchSpace, resolution: number): Architecture[] {
  const deepest = blocksPerStage(space);
  const layers = space.kernelSizes.length * space.expandRatios.length * space.stages.length * deepest;
  if (layers > MAX_LAYERS) {
    throw new AppError('invalid', `latency table: ${layers} layers at a resolution, at most ${MAX_LAYERS}`);
  }
  const each = (value: number, count: number): number[] => Array.from({ length: count }, () => value);
  const blocks = space.stages.length * deepest;
  return space.kernelSizes.flatMap((kernel) =>
    space.expandRatios.map((ratio) => ({
      ks: each(kernel, blocks),
      e: each(ratio, blocks),
      d: each(deepest, space.stages.length),
      r: resolution,
    })),
  );
}

/** The layers of one network, in their order. */
export function layersOf(space: SearchSpace, architecture: Architecture): TableLayer[] {
  const shapes = layerShapes(space, architecture);
  const keys = layerKeys(space, architecture);
  invariant(shapes.length === keys.length, 'every layer of a network has a key');
  return shapes.map((shape, index) => ({ key: keys[index] ?? '', shape }));
}

function layerShapes(space: SearchSpace, architecture: Architecture): LayerShape[] {
  const blocks = blockShapes(space, architecture);
  const last = blocks.at(-1);
  invariant(last !== undefined, 'every network has the fixed block');
  return [
    { kind: 'stem', resolution: architecture.r },
    ...blocks.map((block): LayerShape => ({ kind: 'block', block })),
    { kind: 'final-expand', side: last.outSize, inChannels: last.outChannels },
    { kind: 'pool', side: last.outSize },
    { kind: 'feature-mix' },
    { kind: 'classifier' },
  ];
}
