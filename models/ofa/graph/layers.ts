import type {
  Convolution,
  Linear,
  NormalisedConvolution,
  SqueezeExcite,
  SubBlock,
  SubNetwork,
} from '../network.ts';
import type { Activation } from '../space.ts';

/**
 * How each kind of layer is written into a graph. Each function takes the name of a value and gives the name
 * of another one; inference, calibration and int8 differ only in these.
 */
export interface LayerWriter {
  readonly normalised: (x: string, layer: NormalisedConvolution, activation?: Activation) => string;
  readonly convolution: (x: string, layer: Convolution, activation?: Activation) => string;
  readonly squeezeExcite: (x: string, layer: SqueezeExcite) => string;
  readonly shortcut: (x: string, y: string, name: string) => string;
  readonly globalPool: (x: string, name: string) => string;
  /** [N, features, 1, 1] in, [N, classes] out. */
  readonly classifier: (x: string, layer: Linear) => string;
}

/**
 * Writes a whole network, stem to classifier.
 * @param x the normalised image, [N, C, r, r]
 * @returns the name of the logits
 */
export function writeNetwork(network: SubNetwork, x: string, layers: LayerWriter): string {
  let value = layers.normalised(x, network.stem, 'h_swish');
  for (const block of network.blocks) value = writeBlock(block, value, layers);
  value = layers.normalised(value, network.finalExpand, 'h_swish');
  value = layers.globalPool(value, 'global_pool');
  value = layers.convolution(value, network.featureMix, 'h_swish');
  return layers.classifier(value, network.classifier);
}

/** Writes one block: expand, depthwise, squeeze and excite, project, shortcut. */
export function writeBlock(block: SubBlock, x: string, layers: LayerWriter): string {
  const { shape, expand, depthwise, squeezeExcite, project } = block;
  let value = expand === undefined ? x : layers.normalised(x, expand, shape.activation);
  value = layers.normalised(value, depthwise, shape.activation);
  if (squeezeExcite !== undefined) value = layers.squeezeExcite(value, squeezeExcite);
  value = layers.normalised(value, project);
  return shape.shortcut ? layers.shortcut(value, x, `${block.name}.shortcut`) : value;
}
