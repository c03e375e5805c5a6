import {
  type Architecture,
  type BlockShape,
  blockShapes,
  sizeAfter,
  squeezeChannels,
} from './architecture.ts';
import type { SearchSpace } from './space.ts';

/** What a sub-network costs, without running it. */
export interface Cost {
  /** Multiply-accumulate operations of one inference: convolutions, squeeze-excite, classifier. */
  readonly macs: number;
  /** Weights, biases and batch-norm weights and biases; no running statistics. */
  readonly parameters: number;
}

/** Counts as OFA does (`count_flops_given_config`, and the parameters of the extracted network). */
export function costOf(space: SearchSpace, architecture: Architecture): Cost {
  const { stem, inChannels, finalExpandWidth, featureMixWidth, classes } = space;
  const shapes = blockShapes(space, architecture);
  const last = shapes.at(-1);
  const layers = [
    normalised(9 * inChannels, stem.width, sizeAfter(architecture.r, stem.stride)),
    ...shapes.map(blockCost),
    normalised(last?.outChannels ?? 0, finalExpandWidth, last?.outSize ?? 0),
    dense(finalExpandWidth, featureMixWidth, 0),
    dense(featureMixWidth, classes, classes),
  ];
  return total(layers);
}

function blockCost(shape: BlockShape): Cost {
  const { inChannels, midChannels, outChannels, kernel, inSize, outSize } = shape;
  const squeezed = squeezeChannels(midChannels);
  return total([
    ...(shape.slot === 0 ? [] : [normalised(inChannels, midChannels, inSize)]),
    normalised(kernel * kernel, midChannels, outSize),
    ...(shape.squeezeExcite
      ? [dense(midChannels, squeezed, squeezed), dense(squeezed, midChannels, midChannels)]
      : []),
    normalised(midChannels, outChannels, outSize),
  ]);
}

/** A convolution without bias and its batch norm; `fanIn` is what one output value takes in. */
function normalised(fanIn: number, channels: number, size: number): Cost {
  return { macs: fanIn * channels * size * size, parameters: fanIn * channels + 2 * channels };
}

function dense(inputs: number, outputs: number, biases: number): Cost {
  return { macs: inputs * outputs, parameters: inputs * outputs + biases };
}

function total(costs: readonly Cost[]): Cost {
  return {
    macs: costs.reduce((sum, { macs }) => sum + macs, 0),
    parameters: costs.reduce((sum, { parameters }) => sum + parameters, 0),
  };
}
