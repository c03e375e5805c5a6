import { type Convolution, NORM_EPSILON, type NormalisedConvolution } from './network.ts';
import { sizeOf } from './tensors.ts';

/**
 * One convolution with a bias that does what a convolution and the batch norm behind it do: each output
 * channel times weight / sqrt(variance + epsilon), and the rest as bias. In double precision, with nothing
 * but operations that IEEE 754 defines to the last bit: every machine gets the same weights.
 */
export function foldNorm({ convolution, norm }: NormalisedConvolution): Convolution {
  const { weight } = convolution;
  const perChannel = sizeOf(weight.shape.slice(1));
  const data = new Float32Array(weight.data.length);
  const bias = new Float32Array(norm.weight.length);
  for (const [channel, gain] of norm.weight.entries()) {
    const scale = gain / Math.sqrt((norm.variance[channel] ?? 0) + NORM_EPSILON);
    bias[channel] = (norm.bias[channel] ?? 0) - (norm.mean[channel] ?? 0) * scale;
    const end = (channel + 1) * perChannel;
    for (let index = channel * perChannel; index < end; index += 1) {
      data[index] = (weight.data[index] ?? 0) * scale;
    }
  }
  return { ...convolution, weight: { shape: weight.shape, data }, bias };
}
