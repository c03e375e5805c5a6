import { AppError } from '../../../shared/errors.ts';
import { roundHalfEven } from '../round.ts';
import { type FloatTensor, sizeOf } from '../tensors.ts';
import { MIN_SCALE } from './affine.ts';

/** What a 1x1 or depthwise convolution and a linear layer have in common. */
export interface Layer {
  readonly name: string;
  /** [out, ...]. */
  readonly weight: FloatTensor;
  readonly bias?: Float32Array;
  readonly groups?: number;
}

/** real weight = scale of its output channel * number; real bias likewise. */
export interface QuantisedLayer {
  /** -127..127, in the order of the layer's weights. */
  readonly weight: Int8Array;
  /** One per output channel. */
  readonly scales: Float32Array;
  readonly bias: Int32Array | undefined;
  /** Input scale x weight scale, as the sums of products have it. */
  readonly biasScales: Float32Array;
}

const GREATEST_WEIGHT = 127;

/** Half of what an int32 holds: the sum of products needs the other half. */
const GREATEST_BIAS = 2 ** 30;

/**
 * Symmetric int8 weights, one scale per output channel, and an int32 bias on the scale of the products.
 * Double precision and nothing but operations that IEEE 754 defines to the last bit.
 *
 * A channel's scale is the smallest at which no weight is clipped and no processor is wrong. x86 without VNNI
 * adds the products of two neighbouring input channels in 16 bits, which saturate beyond 32,767: with an
 * input of 255, beyond weights of 128.5 together. A model must give the same answers everywhere, so no two
 * get there (logits are 7 % further off than with all of 8 bits, where 7 bits, the usual remedy, cost 20 %).
 * Depthwise convolutions have no such sums.
 *
 * @param inputScale of the layer's uint8 input
 * @throws AppError `invalid` for a weight or bias that is not finite, or too large for 32-bit floats
 */
export function quantiseLayer(layer: Layer, inputScale: number): QuantisedLayer {
  const { name, weight, bias, groups = 1 } = layer;
  const channels = weight.shape[0] ?? 0;
  const size = sizeOf(weight.shape.slice(1));
  const result = {
    weight: new Int8Array(weight.data.length),
    scales: new Float32Array(channels),
    bias: bias && new Int32Array(channels),
    biasScales: new Float32Array(channels),
  };
  for (let channel = 0; channel < channels; channel += 1) {
    const values = weight.data.subarray(channel * size, (channel + 1) * size);
    const offset = bias?.[channel] ?? 0;
    const scale = channelScale(groups, values, Math.abs(offset) / inputScale);
    const biasScale = Math.fround(inputScale * scale);
    if (!Number.isFinite(biasScale)) {
      throw new AppError('invalid', `int8: ${name}, channel ${channel}: weights or bias are not finite`);
    }
    result.scales[channel] = scale;
    result.biasScales[channel] = biasScale;
    if (result.bias !== undefined) result.bias[channel] = roundHalfEven(offset / biasScale);
    for (const [index, value] of values.entries()) {
      result.weight[channel * size + index] = roundHalfEven(value / scale);
    }
  }
  return result;
}

/** @param bias its magnitude in units of the input's scale */
function channelScale(groups: number, values: Float32Array, bias: number): number {
  const pair = groups === 1 ? greatestPair(values) : 0;
  const greatest = values.reduce((max, value) => Math.max(max, Math.abs(value)), pair);
  return Math.fround(Math.max(greatest / GREATEST_WEIGHT, bias / GREATEST_BIAS, MIN_SCALE));
}

/** The greatest sum, in magnitude, of two weights whose products are added first: 0 and 1, 2 and 3, ... */
function greatestPair(values: Float32Array): number {
  let greatest = 0;
  for (let index = 0; index < values.length; index += 2) {
    greatest = Math.max(greatest, Math.abs((values[index] ?? 0) + (values[index + 1] ?? 0)));
  }
  return greatest;
}
