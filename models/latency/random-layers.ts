import { uniformFloat32 } from 'pure-rand/distribution/uniformFloat32';
import { xoroshiro128plus } from 'pure-rand/generator/xoroshiro128plus';
import { type Architecture, type BlockShape, blockShapes, squeezeChannels } from '../ofa/architecture.ts';
import {
  type Convolution,
  type Linear,
  NORM_EPSILON,
  type NormalisedConvolution,
  type SubBlock,
  type SubNetwork,
} from '../ofa/network.ts';
import type { SearchSpace } from '../ofa/space.ts';
import { sizeOf } from '../ofa/tensors.ts';

interface Size {
  readonly channels: readonly [number, number];
  readonly kernel?: number;
  readonly stride?: number;
}

/**
 * Makes layers of random weights, to measure what they take where there is no trained one. Weights are
 * uniform with the variance that keeps a signal's scale (He et al. 2015, section 2.2): numbers that grow
 * without bound, or fall to where a processor computes slowly (denormal ones), would not be measured as
 * trained ones.
 */
export class RandomLayers {
  readonly #space: SearchSpace;
  readonly #uniform: () => number;

  constructor(space: SearchSpace, seed: number) {
    this.#space = space;
    const generator = xoroshiro128plus(seed);
    this.#uniform = () => uniformFloat32(generator);
  }

  stem(): NormalisedConvolution {
    const { inChannels, stem } = this.#space;
    return this.#normalised('stem', { channels: [inChannels, stem.width], kernel: 3, stride: stem.stride });
  }

  /** A convolution that makes a map of as many channels out of one channel. */
  entry(channels: number): NormalisedConvolution {
    return this.#normalised('entry', { channels: [1, channels] });
  }

  /** @param name is the block's in the graph */
  block(shape: BlockShape, name: string): SubBlock {
    const { inChannels, midChannels, outChannels, kernel, stride } = shape;
    return {
      name,
      shape,
      expand:
        shape.slot === 0
          ? undefined
          : this.#normalised(`${name}.expand`, { channels: [inChannels, midChannels] }),
      depthwise: this.#depthwise(`${name}.depthwise`, {
        channels: [midChannels, midChannels],
        kernel,
        stride,
      }),
      squeezeExcite: shape.squeezeExcite ? this.#squeezeExcite(`${name}.se`, midChannels) : undefined,
      project: this.#normalised(`${name}.project`, { channels: [midChannels, outChannels] }),
    };
  }

  finalExpand(inChannels: number): NormalisedConvolution {
    return this.#normalised('final_expand', { channels: [inChannels, this.#space.finalExpandWidth] });
  }

  featureMix(): Convolution {
    const { finalExpandWidth, featureMixWidth } = this.#space;
    return this.#convolution('feature_mix', { channels: [finalExpandWidth, featureMixWidth] });
  }

  classifier(): Linear {
    const { featureMixWidth, classes } = this.#space;
    const weight = { shape: [classes, featureMixWidth], data: this.#weights(classes, featureMixWidth) };
    return { name: 'classifier', weight, bias: new Float32Array(classes) };
  }

  /** A network of which every layer is random. */
  network(architecture: Architecture): SubNetwork {
    const blocks = blockShapes(this.#space, architecture);
    return {
      space: this.#space,
      architecture,
      stem: this.stem(),
      blocks: blocks.map((shape, index) => this.block(shape, `blocks.${index}`)),
      finalExpand: this.finalExpand(blocks.at(-1)?.outChannels ?? this.#space.firstBlock.width),
      featureMix: this.featureMix(),
      classifier: this.classifier(),
    };
  }

  #convolution(name: string, { channels: [inputs, outputs], kernel = 1, stride = 1 }: Size): Convolution {
    const shape = [outputs, inputs, kernel, kernel];
    const data = this.#weights(outputs, sizeOf(shape.slice(1)));
    return { name, weight: { shape, data }, stride, groups: 1 };
  }

  #normalised(name: string, size: Size): NormalisedConvolution {
    return {
      convolution: this.#convolution(name, size),
      norm: neutralNorm(`${name}.norm`, size.channels[1]),
    };
  }

  #depthwise(name: string, { channels, kernel = 3, stride = 1 }: Size): NormalisedConvolution {
    const [, groups] = channels;
    const shape = [groups, 1, kernel, kernel];
    const weight = { shape, data: this.#weights(groups, kernel * kernel) };
    return {
      convolution: { name, weight, stride, groups },
      norm: neutralNorm(`${name}.norm`, groups),
    };
  }

  #squeezeExcite(name: string, channels: number) {
    const inner = squeezeChannels(channels);
    const biased = (part: string, [inputs, outputs]: readonly [number, number]): Convolution => ({
      ...this.#convolution(`${name}.${part}`, { channels: [inputs, outputs] }),
      bias: new Float32Array(outputs),
    });
    return { name, reduce: biased('reduce', [channels, inner]), expand: biased('expand', [inner, channels]) };
  }

  #weights(outputs: number, fanIn: number): Float32Array {
    const spread = Math.sqrt(6 / fanIn);
    const data = new Float32Array(outputs * fanIn);
    for (let index = 0; index < data.length; index += 1) data[index] = spread * (2 * this.#uniform() - 1);
    return data;
  }
}

/** A batch norm that changes nothing; folded into its convolution it leaves a bias, as trained ones do. */
function neutralNorm(name: string, channels: number): NormalisedConvolution['norm'] {
  const each = (value: number): Float32Array => new Float32Array(channels).fill(value);
  return { name, weight: each(1), bias: each(0), mean: each(0), variance: each(1 - NORM_EPSILON) };
}
