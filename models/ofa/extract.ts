import {
  type Architecture,
  type BlockShape,
  blockShapes,
  checkArchitecture,
  squeezeChannels,
} from './architecture.ts';
import type { Backbone } from './backbone.ts';
import { kernelMatrixName } from './layout.ts';
import type {
  BatchNorm,
  Convolution,
  NormalisedConvolution,
  SqueezeExcite,
  SubBlock,
  SubNetwork,
} from './network.ts';
import { firstOf, smallerKernel, tensorOf } from './slice.ts';
import type { FloatTensor } from './tensors.ts';

/**
 * Cuts a sub-network out of a backbone, as OFA's `get_active_subnet` does: the first channels of every
 * layer, kernels by their transformation matrices, batch-norm statistics as the backbone has them.
 * @throws AppError `invalid` for an architecture outside of the backbone's space
 */
export function extractSubNetwork(backbone: Backbone, architecture: Architecture): SubNetwork {
  const { space } = backbone;
  checkArchitecture(space, architecture, 'the architecture');
  const source = new Source(backbone);
  return {
    space,
    architecture,
    stem: source.fixed('first_conv', { name: 'first_conv', stride: space.stem.stride }),
    blocks: blockShapes(space, architecture).map((shape, index) => source.block(shape, `blocks.${index}`)),
    finalExpand: source.fixed('final_expand_layer', { name: 'final_expand_layer', stride: 1 }),
    featureMix: {
      name: 'feature_mix_layer.conv',
      weight: source.tensor('feature_mix_layer.conv.weight'),
      stride: 1,
      groups: 1,
    },
    classifier: {
      name: 'classifier.linear',
      weight: source.tensor('classifier.linear.weight'),
      bias: source.tensor('classifier.linear.bias').data,
    },
  };
}

interface Place {
  readonly name: string;
  readonly stride: number;
  readonly groups?: number;
}

/** Reads layers of a backbone under its tensors' names. */
class Source {
  readonly #backbone: Backbone;

  constructor(backbone: Backbone) {
    this.#backbone = backbone;
  }

  tensor(name: string): FloatTensor {
    return tensorOf(this.#backbone.tensors, name);
  }

  block(shape: BlockShape, name: string): SubBlock {
    return shape.slot === 0 ? this.#firstBlock(shape, name) : this.#elasticBlock(shape, name);
  }

  /** A layer that is never sliced: `<path>.conv.weight`, `<path>.bn.*`. */
  fixed(path: string, { name, stride, groups = 1 }: Place): NormalisedConvolution {
    const weight = this.tensor(`${path}.conv.weight`);
    return {
      convolution: { name: `${name}.conv`, weight, stride, groups },
      norm: this.#norm(`${path}.bn`, weight.shape[0] ?? 0, `${name}.bn`),
    };
  }

  #firstBlock(shape: BlockShape, name: string): SubBlock {
    const layer = (part: string, place: Omit<Place, 'name'>): NormalisedConvolution =>
      this.fixed(`blocks.0.conv.${part}`, { name: `${name}.conv.${part}`, ...place });
    return {
      name,
      shape,
      expand: undefined,
      depthwise: layer('depth_conv', { stride: shape.stride, groups: shape.midChannels }),
      squeezeExcite: undefined,
      project: layer('point_linear', { stride: 1 }),
    };
  }

  #elasticBlock(shape: BlockShape, name: string): SubBlock {
    const { inChannels, midChannels, outChannels, stride, slot } = shape;
    const path = `blocks.${slot}.conv`;
    const point = (part: string, counts: readonly [number, number]): NormalisedConvolution => ({
      convolution: {
        name: `${name}.conv.${part}.conv`,
        weight: firstOf(this.tensor(`${path}.${part}.conv.conv.weight`), counts),
        stride: 1,
        groups: 1,
      },
      norm: this.#norm(`${path}.${part}.bn.bn`, counts[0], `${name}.conv.${part}.bn`),
    });
    return {
      name,
      shape,
      expand: point('inverted_bottleneck', [midChannels, inChannels]),
      depthwise: {
        convolution: {
          name: `${name}.conv.depth_conv.conv`,
          weight: this.#depthwise(shape),
          stride,
          groups: midChannels,
        },
        norm: this.#norm(`${path}.depth_conv.bn.bn`, midChannels, `${name}.conv.depth_conv.bn`),
      },
      squeezeExcite: shape.squeezeExcite
        ? this.#squeezeExcite(`${path}.depth_conv.se.fc`, `${name}.conv.depth_conv.se`, midChannels)
        : undefined,
      project: point('point_linear', [outChannels, midChannels]),
    };
  }

  /** From the largest kernel down, each one out of the one before it. */
  #depthwise({ slot, midChannels, kernel }: BlockShape): FloatTensor {
    const [largest = kernel, ...smaller] = this.#backbone.space.kernelSizes.toReversed();
    let weight = firstOf(this.tensor(`blocks.${slot}.conv.depth_conv.conv.conv.weight`), [midChannels]);
    let size = largest;
    for (const next of smaller.filter((choice) => choice >= kernel)) {
      weight = smallerKernel(weight, this.tensor(kernelMatrixName(slot, size, next)), next);
      size = next;
    }
    return weight;
  }

  #squeezeExcite(path: string, name: string, channels: number): SqueezeExcite {
    const inner = squeezeChannels(channels);
    const layer = (part: 'reduce' | 'expand', counts: readonly [number, number]): Convolution => ({
      name: `${name}.fc.${part}`,
      weight: firstOf(this.tensor(`${path}.${part}.weight`), counts),
      bias: firstOf(this.tensor(`${path}.${part}.bias`), [counts[0]]).data,
      stride: 1,
      groups: 1,
    });
    return { name, reduce: layer('reduce', [inner, channels]), expand: layer('expand', [channels, inner]) };
  }

  #norm(path: string, channels: number, name: string): BatchNorm {
    const first = (part: string): Float32Array => firstOf(this.tensor(`${path}.${part}`), [channels]).data;
    return {
      name,
      weight: first('weight'),
      bias: first('bias'),
      mean: first('running_mean'),
      variance: first('running_var'),
    };
  }
}
