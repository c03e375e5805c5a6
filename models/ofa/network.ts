import { AppError } from '../../shared/errors.ts';
import type { Architecture, BlockShape } from './architecture.ts';
import type { SearchSpace } from './space.ts';
import type { FloatTensor } from './tensors.ts';

/** Added to a variance before its root is taken, as in PyTorch. */
export const NORM_EPSILON = 1e-5;

/** Padding is kernel // 2 on all sides. */
export interface Convolution {
  /** As OFA names the layers of an extracted network: running blocks are numbered without gaps. */
  readonly name: string;
  /** [out, in / groups, kernel, kernel]. */
  readonly weight: FloatTensor;
  readonly bias?: Float32Array;
  readonly stride: number;
  readonly groups: number;
}

/** Running statistics of a batch norm, one value per channel. */
export interface Statistics {
  readonly mean: Float32Array;
  readonly variance: Float32Array;
}

export interface BatchNorm extends Statistics {
  readonly name: string;
  readonly weight: Float32Array;
  readonly bias: Float32Array;
}

/** A convolution without bias, and the batch norm behind it. */
export interface NormalisedConvolution {
  readonly convolution: Convolution;
  readonly norm: BatchNorm;
}

/** Both are 1x1 with a bias; ReLU after the first, hard sigmoid after the second. */
export interface SqueezeExcite {
  readonly name: string;
  readonly reduce: Convolution;
  readonly expand: Convolution;
}

export interface SubBlock {
  /** `blocks.N`, running blocks numbered without gaps. */
  readonly name: string;
  readonly shape: BlockShape;
  /** The fixed block has none. */
  readonly expand: NormalisedConvolution | undefined;
  readonly depthwise: NormalisedConvolution;
  readonly squeezeExcite: SqueezeExcite | undefined;
  readonly project: NormalisedConvolution;
}

export interface Linear {
  readonly name: string;
  /** [classes, features]. */
  readonly weight: FloatTensor;
  readonly bias: Float32Array;
}

/** The weights of one sub-network, cut out of a backbone; large ones are views into the backbone's. */
export interface SubNetwork {
  readonly space: SearchSpace;
  readonly architecture: Architecture;
  readonly stem: NormalisedConvolution;
  readonly blocks: readonly SubBlock[];
  readonly finalExpand: NormalisedConvolution;
  readonly featureMix: Convolution;
  readonly classifier: Linear;
}

/** Every batch norm of a sub-network, in the order in which they act. */
export function batchNorms(network: SubNetwork): BatchNorm[] {
  const blocks = network.blocks.flatMap(({ expand, depthwise, project }) => [expand, depthwise, project]);
  return [network.stem, ...blocks, network.finalExpand].flatMap((layer) => layer?.norm ?? []);
}

/**
 * The same sub-network with other running statistics.
 * @param statistics by the names of `batchNorms`; all of them are needed
 */
export function withStatistics(network: SubNetwork, statistics: ReadonlyMap<string, Statistics>): SubNetwork {
  const renew = (layer: NormalisedConvolution): NormalisedConvolution => ({
    ...layer,
    norm: { ...layer.norm, ...statisticsOf(statistics, layer.norm) },
  });
  return {
    ...network,
    stem: renew(network.stem),
    blocks: network.blocks.map((block) => ({
      ...block,
      expand: block.expand && renew(block.expand),
      depthwise: renew(block.depthwise),
      project: renew(block.project),
    })),
    finalExpand: renew(network.finalExpand),
  };
}

function statisticsOf(all: ReadonlyMap<string, Statistics>, { name, mean }: BatchNorm): Statistics {
  const found = all.get(name);
  const channels = found === undefined ? 'none' : `${found.mean.length} and ${found.variance.length}`;
  if (found?.mean.length !== mean.length || found.variance.length !== mean.length) {
    throw new AppError(
      'invalid',
      `statistics of ${name}: expected ${mean.length} channels, found ${channels}`,
    );
  }
  return found;
}
