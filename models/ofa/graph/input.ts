import type { Dimension, GraphBuilder } from '../onnx/graph.ts';
import { onnx } from '../onnx/proto.ts';
import type { SearchSpace } from '../space.ts';

/** Name of a model's input, whatever its form. */
export const INPUT_NAME = 'image';
export const OUTPUT_NAME = 'logits';

/**
 * What a model takes. `float32`: [N, C, r, r], resized and normalised already, for comparison with other
 * tools. `uint8`: frames [batch, height, width, C] of any size, as a family's levels take them.
 */
export type InputForm =
  | { readonly type: 'float32' }
  | { readonly type: 'uint8'; readonly frame: readonly [number, number]; readonly batch: number };

/** First dimension of a model's input and output. */
export function batchOf(form: InputForm): Dimension {
  return form.type === 'float32' ? 'N' : form.batch;
}

/**
 * Declares the input and writes what is done before the first layer.
 * @returns the name of the normalised image, [N, C, r, r]
 */
export function writeInput(
  graph: GraphBuilder,
  space: SearchSpace,
  resolution: number,
  form: InputForm,
): string {
  const { inChannels, mean, std } = space;
  if (form.type === 'float32') {
    return graph.input(INPUT_NAME, 'float32', ['N', inChannels, resolution, resolution]);
  }
  return writeFrames(graph, { ...form, channels: inChannels, size: [resolution, resolution], mean, std });
}

/** Frames, and what a network wants to see of them. */
export interface FrameInput {
  /** [height, width] of the frames. */
  readonly frame: readonly [number, number];
  readonly batch: number;
  readonly channels: number;
  /** [height, width] that the network sees. */
  readonly size: readonly [number, number];
  /** Of pixels as 0..1, one value per channel. */
  readonly mean: readonly number[];
  readonly std: readonly number[];
}

/**
 * Declares frames, uint8 [batch, height, width, C], as the input, and writes how they are resized and
 * normalised.
 * @returns the name of the normalised image, [batch, C, height, width]
 */
export function writeFrames(graph: GraphBuilder, input: FrameInput): string {
  const { frame, batch, channels, size } = input;
  const image = graph.input(INPUT_NAME, 'uint8', [batch, ...frame, channels]);
  const planes = graph.node('Transpose', [image], 'image.planes', { perm: { ints: [0, 3, 1, 2] } });
  const floats = graph.node('Cast', [planes], 'image.float', {
    to: { int: onnx.TensorProto.DataType.FLOAT },
  });
  const isSameSize = frame[0] === size[0] && frame[1] === size[1];
  const resized = isSameSize ? floats : writeResize(graph, floats, [batch, channels, ...size]);
  return normalise(graph, resized, input);
}

/** Bilinear with half-pixel centres and no antialiasing, as OFA's own Fashion-MNIST network is trained. */
function writeResize(graph: GraphBuilder, x: string, shape: readonly number[]): string {
  const sizes = graph.int64s('image.size', shape);
  return graph.node('Resize', [x, '', '', sizes], 'image.resized', {
    mode: { text: 'linear' },
    coordinate_transformation_mode: { text: 'half_pixel' },
  });
}

/** (pixel / 255 - mean) / std, channel by channel. */
function normalise(graph: GraphBuilder, x: string, { mean, std }: Pick<FrameInput, 'mean' | 'std'>): string {
  const shape = [1, mean.length, 1, 1];
  const offset = graph.constant(
    'image.mean',
    shape,
    Float32Array.from(mean, (value) => 255 * value),
  );
  const scale = graph.constant(
    'image.scale',
    shape,
    Float32Array.from(std, (value) => 1 / (255 * value)),
  );
  const centred = graph.node('Sub', [x, offset], 'image.centred');
  return graph.node('Mul', [centred, scale], 'image.normalised');
}
