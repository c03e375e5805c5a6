import { foldNorm } from '../fold.ts';
import type { Convolution } from '../network.ts';
import type { Attribute, GraphBuilder } from '../onnx/graph.ts';
import type { Activation } from '../space.ts';
import { OUTPUT_NAME } from './input.ts';
import type { LayerWriter } from './layers.ts';

/** relu6(x + 3) / 6. */
const HARD_SIGMOID = { alpha: { float: 1 / 6 }, beta: { float: 0.5 } } as const;

/** How layers are written for inference in 32-bit floats: batch norms folded, no operator that could be less. */
export function floatLayers(graph: GraphBuilder): LayerWriter {
  const convolve = (x: string, layer: Convolution, activation?: Activation): string =>
    writeActivation(graph, writeConvolution(graph, x, layer), activation);
  return {
    normalised: (x, layer, activation) => convolve(x, foldNorm(layer), activation),
    convolution: convolve,
    squeezeExcite: (x, { name, reduce, expand }) => {
      const pooled = graph.node('GlobalAveragePool', [x], `${name}.pool`);
      const inner = convolve(pooled, reduce, 'relu');
      const gate = writeHardSigmoid(graph, convolve(inner, expand), `${name}.gate`);
      return graph.node('Mul', [x, gate], `${name}.scaled`);
    },
    shortcut: (x, y, name) => graph.node('Add', [x, y], name),
    globalPool: (x, name) => graph.node('GlobalAveragePool', [x], name),
    classifier: (x, { name, weight, bias }) => {
      const features = graph.node('Flatten', [x], `${name}.features`, { axis: { int: 1 } });
      const constants = [
        graph.constant(`${name}.weight`, weight.shape, weight.data),
        graph.constant(`${name}.bias`, [bias.length], bias),
      ];
      return graph.node('Gemm', [features, ...constants], OUTPUT_NAME, { transB: { int: 1 } });
    },
  };
}

/** A convolution with padding k // 2 on all sides, with its weights as constants. */
export function writeConvolution(graph: GraphBuilder, x: string, layer: Convolution): string {
  const { name, weight, bias } = layer;
  const inputs = [x, graph.constant(`${name}.weight`, weight.shape, weight.data)];
  if (bias !== undefined) inputs.push(graph.constant(`${name}.bias`, [bias.length], bias));
  return graph.node('Conv', inputs, name, convolutionAttributes(layer));
}

export function convolutionAttributes({ weight, stride, groups }: Convolution): Record<string, Attribute> {
  const kernel = weight.shape[2] ?? 1;
  const padding = Math.floor(kernel / 2);
  return {
    kernel_shape: { ints: [kernel, kernel] },
    strides: { ints: [stride, stride] },
    pads: { ints: [padding, padding, padding, padding] },
    group: { int: groups },
  };
}

/** Writes what stands behind a layer, as one operator: ONNX Runtime fuses ReLU and has a kernel for the other. */
export function writeActivation(graph: GraphBuilder, x: string, activation: Activation | undefined): string {
  if (activation === undefined) return x;
  return activation === 'relu'
    ? graph.node('Relu', [x], `${x}.relu`)
    : graph.node('HardSwish', [x], `${x}.h_swish`);
}

export function writeHardSigmoid(graph: GraphBuilder, x: string, name: string): string {
  return graph.node('HardSigmoid', [x], name, HARD_SIGMOID);
}
