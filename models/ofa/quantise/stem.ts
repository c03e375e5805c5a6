import { foldNorm } from '../fold.ts';
import { writeActivation, writeConvolution } from '../graph/float-layers.ts';
import type { NormalisedConvolution, SubNetwork } from '../network.ts';
import type { GraphBuilder } from '../onnx/graph.ts';
import { sizeOf } from '../tensors.ts';

/**
 * The stem stays in floats: in 8 bits, its input and the input of its h_swish would have to be converted,
 * which takes longer than a 3x3 of so few channels saves (measured: the smallest networks are 17-24 % slower,
 * the largest 3 %), and costs accuracy.
 *
 * What it gives is balanced before it is quantised. A trained stem has channels that reach 16 beside some that
 * never pass 0.1, which the depthwise convolution behind multiplies by 7: on one scale for all, those have a
 * handful of levels, and the logits are two to three times as far off. No later layer is like that.
 */

/** How far a channel goes: no value of a trained stem was found further from its mean. */
const STANDARD_DEVIATIONS = 6;

/** h_swish goes down to -0.375 in every channel: to raise a small channel further would make that the range. */
const LEAST_REACH = 1;

/**
 * How far up each channel of the stem goes. Its batch norm says so by itself: what it gives has the mean
 * `bias` and the standard deviation `weight`.
 */
function reachOf({ norm }: NormalisedConvolution): Float64Array {
  return Float64Array.from(norm.weight, (deviation, channel) =>
    Math.max(LEAST_REACH, (norm.bias[channel] ?? 0) + STANDARD_DEVIATIONS * Math.abs(deviation)),
  );
}

/** Writes the stem in floats, each channel divided by how far it goes; returns the value's name. */
export function writeBalancedStem(graph: GraphBuilder, image: string, stem: NormalisedConvolution): string {
  const { name } = stem.convolution;
  const convolved = writeConvolution(graph, image, foldNorm(stem));
  const activated = writeActivation(graph, convolved, 'h_swish');
  const factors = Float32Array.from(reachOf(stem), (reach) => 1 / reach);
  const factor = graph.constant(`${name}.balance`, [1, factors.length, 1, 1], factors);
  return graph.node('Mul', [activated, factor], `${name}.balanced`);
}

/**
 * The same sub-network for a balanced stem: the first block's depthwise convolution, which alone reads the
 * stem, multiplies each channel by what it was divided by.
 */
export function withBalancedStem(network: SubNetwork): SubNetwork {
  const reach = reachOf(network.stem);
  const blocks = network.blocks.map((block, index) =>
    index === 0 ? { ...block, depthwise: timesChannels(block.depthwise, reach) } : block,
  );
  return { ...network, blocks };
}

function timesChannels(layer: NormalisedConvolution, factors: Float64Array): NormalisedConvolution {
  const { weight } = layer.convolution;
  const perChannel = sizeOf(weight.shape.slice(1));
  const data = weight.data.map((value, index) => value * (factors[Math.floor(index / perChannel)] ?? 1));
  return { ...layer, convolution: { ...layer.convolution, weight: { shape: weight.shape, data } } };
}
