import { invariant } from '../../../shared/errors.ts';
import { foldNorm } from '../fold.ts';
import { convolutionAttributes } from '../graph/float-layers.ts';
import { OUTPUT_NAME } from '../graph/input.ts';
import type { LayerWriter } from '../graph/layers.ts';
import type { Convolution, NormalisedConvolution } from '../network.ts';
import type { GraphBuilder } from '../onnx/graph.ts';
import type { Activation } from '../space.ts';
import { type Affine, affineOf, type Range } from './affine.ts';
import { writeBalancedStem } from './stem.ts';
import { type Layer, quantiseLayer } from './weights.ts';

/** h_swish gives 0 for everything up to here: nothing below has to be told apart. */
const H_SWISH_ZERO = -3;

/**
 * Gives the range of a value.
 * @param name of the value in the range model
 * @param least what is below needs not be told apart
 */
export type RangeOf = (name: string, least: number) => Range;

/**
 * How layers are written for inference in 8 bits: every value between layers is a uint8 tensor, and every
 * layer stands between DequantizeLinear and QuantizeLinear, where ONNX Runtime replaces the three by one
 * operator of integers. What a layer's activation clips is clipped by the quantisation instead: ReLU by a
 * range that begins at 0, the hard sigmoid by one of 0 to 1; h_swish and the stem are computed in floats.
 * @param stem of the network, which is one of `withBalancedStem`
 */
export function int8Layers(graph: GraphBuilder, stem: NormalisedConvolution, rangeOf: RangeOf): LayerWriter {
  const values = new Int8Values(graph);
  const multiply = (x: string, layer: Convolution, range: Range): string =>
    values.quantise(writeConvolution(graph, values, x, layer), range);
  const convolve = (x: string, layer: Convolution, activation?: Activation): string => {
    const { name } = layer;
    if (activation === undefined) return multiply(x, layer, rangeOf(name, Number.NEGATIVE_INFINITY));
    if (activation === 'relu') return multiply(x, layer, rangeOf(`${name}.relu`, 0));
    const before = multiply(x, layer, rangeOf(name, H_SWISH_ZERO));
    return quantised('HardSwish', [before], `${name}.h_swish`);
  };
  const quantised = (opType: string, inputs: readonly string[], name: string): string => {
    const floats = inputs.map((input, index) => values.read(input, `${name}.input.${index}`));
    return values.quantise(graph.node(opType, floats, name), rangeOf(name, Number.NEGATIVE_INFINITY));
  };
  const writeStem = (image: string): string => {
    const balanced = writeBalancedStem(graph, image, stem);
    return values.quantise(balanced, rangeOf(balanced, Number.NEGATIVE_INFINITY));
  };
  return {
    normalised: (x, layer, activation) =>
      layer === stem ? writeStem(x) : convolve(x, foldNorm(layer), activation),
    convolution: convolve,
    squeezeExcite: (x, { name, reduce, expand }) => {
      const pooled = quantised('GlobalAveragePool', [x], `${name}.pool`);
      const inner = convolve(pooled, reduce, 'relu');
      const gate = multiply(inner, beforeHardSigmoid(expand), { min: 0, max: 1 });
      return quantised('Mul', [x, gate], `${name}.scaled`);
    },
    shortcut: (x, y, name) => quantised('Add', [x, y], name),
    globalPool: (x, name) => quantised('GlobalAveragePool', [x], name),
    classifier: (x, layer) => {
      const features = values.flatten(x, `${layer.name}.features`);
      const inputs = readLayer(graph, values, features, layer);
      return graph.node('Gemm', inputs, OUTPUT_NAME, { transB: { int: 1 } });
    },
  };
}

/** The hard sigmoid is relu6(x + 3) / 6: x / 6 + 1/2, clipped to 0..1. */
function beforeHardSigmoid(layer: Convolution): Convolution {
  const { weight, bias } = layer;
  return {
    ...layer,
    weight: { shape: weight.shape, data: weight.data.map((value) => value / 6) },
    bias: Float32Array.from({ length: weight.shape[0] ?? 0 }, (_, index) => (bias?.[index] ?? 0) / 6 + 0.5),
  };
}

function writeConvolution(graph: GraphBuilder, values: Int8Values, x: string, layer: Convolution): string {
  const inputs = readLayer(graph, values, x, layer);
  return graph.node('Conv', inputs, layer.name, convolutionAttributes(layer));
}

/** A layer's inputs as floats: the value, weights, and bias. */
function readLayer(graph: GraphBuilder, values: Int8Values, x: string, layer: Layer): string[] {
  const { name, weight: floats } = layer;
  const { weight, scales, bias, biasScales } = quantiseLayer(layer, values.affine(x).scale);
  const perChannel = [scales.length];
  const weights = dequantise(graph, `${name}.weight`, [
    graph.constant(`${name}.weight.int8`, floats.shape, weight),
    graph.constant(`${name}.weight.scale`, perChannel, scales),
    graph.constant(`${name}.weight.zero_point`, perChannel, new Int8Array(scales.length)),
  ]);
  const inputs = [values.read(x, `${name}.input`), weights];
  if (bias === undefined) return inputs;
  const biases = dequantise(graph, `${name}.bias`, [
    graph.constant(`${name}.bias.int32`, perChannel, bias),
    graph.constant(`${name}.bias.scale`, perChannel, biasScales),
  ]);
  return [...inputs, biases];
}

/** Constants with one scale for each output channel. */
function dequantise(graph: GraphBuilder, name: string, inputs: readonly string[]): string {
  return graph.node('DequantizeLinear', inputs, name, { axis: { int: 0 } });
}

interface Int8Value {
  readonly affine: Affine;
  /** Names of the constants. */
  readonly scale: string;
  readonly zeroPoint: string;
}

/** The uint8 tensors of a graph, and what their numbers stand for. */
class Int8Values {
  readonly #graph: GraphBuilder;
  readonly #values = new Map<string, Int8Value>();

  constructor(graph: GraphBuilder) {
    this.#graph = graph;
  }

  /** Quantises a value of floats; returns the name of the uint8 tensor. */
  quantise(floats: string, range: Range): string {
    const affine = affineOf(range);
    const scale = this.#graph.constant(`${floats}.scale`, [], Float32Array.of(affine.scale));
    const zeroPoint = this.#graph.constant(`${floats}.zero_point`, [], Uint8Array.of(affine.zeroPoint));
    const name = this.#graph.node('QuantizeLinear', [floats, scale, zeroPoint], `${floats}.uint8`);
    this.#values.set(name, { affine, scale, zeroPoint });
    return name;
  }

  /** [N, features, 1, 1] to [N, features]. */
  flatten(x: string, name: string): string {
    this.#values.set(name, this.#value(x));
    return this.#graph.node('Flatten', [x], name, { axis: { int: 1 } });
  }

  /** A uint8 tensor as floats for one reader: ONNX Runtime joins it with that reader only if it has no other. */
  read(x: string, name: string): string {
    const { scale, zeroPoint } = this.#value(x);
    return this.#graph.node('DequantizeLinear', [x, scale, zeroPoint], name);
  }

  affine(x: string): Affine {
    return this.#value(x).affine;
  }

  #value(name: string): Int8Value {
    const value = this.#values.get(name);
    invariant(value !== undefined, `${name} is no uint8 tensor`);
    return value;
  }
}
