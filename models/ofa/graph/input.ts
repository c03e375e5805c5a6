import type { Dimension, GraphBuilder } from '../onnx/graph.ts';
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
  const { inChannels } = space;
  if (form.type === 'float32') {
    return graph.input(INPUT_NAME, 'float32', ['N', inChannels, resolution, resolution]);
  }
  const [height, width] = form.frame;
  const input = graph.input(INPUT_NAME, 'uint8', [form.batch, height, width, inChannels]);
  const planes = graph.node('Transpose', [input], 'image.planes', { perm: { ints: [0, 3, 1, 2] } });
  const floats = graph.node('Cast', [planes], 'image.float', { to: { int: 1 } });
  const resized =
    height === resolution && width === resolution
      ? floats
      : writeResize(graph, floats, [form.batch, inChannels, resolution, resolution]);
  return normalise(graph, resized, space);
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
function normalise(graph: GraphBuilder, x: string, { mean, std }: SearchSpace): string {
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
