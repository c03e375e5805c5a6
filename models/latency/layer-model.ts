import type { Precision } from '../../shared/family/manifest.ts';
import { sizeAfter } from '../ofa/architecture.ts';
import { floatLayers } from '../ofa/graph/float-layers.ts';
import { INPUT_NAME, type InputForm, writeInput } from '../ofa/graph/input.ts';
import { type LayerWriter, writeBlock } from '../ofa/graph/layers.ts';
import type { NormalisedConvolution } from '../ofa/network.ts';
import { GraphBuilder } from '../ofa/onnx/graph.ts';
import { int8Layers } from '../ofa/quantise/int8-layers.ts';
import type { Activation, SearchSpace } from '../ofa/space.ts';
import type { ProbeModel } from './probe.ts';
import type { RandomLayers } from './random-layers.ts';
import type { LayerShape } from './table-layers.ts';

/** A square feature map. */
export interface MapShape {
  /** In pixels. */
  readonly side: number;
  readonly channels: number;
}

/** What the models of layers are made from. */
export interface LayerSource {
  readonly space: SearchSpace;
  /** What the first layer's model takes: what is done to the image is part of that layer. */
  readonly form: InputForm;
  readonly precision: Precision;
  readonly random: RandomLayers;
}

/**
 * A model to measure one layer by. The layer stands between two small ones, a convolution that makes its
 * input out of one channel and a pooling that takes its output: alone it would be another layer. ONNX
 * Runtime would have to change the memory layout of what goes in and out of it, which costs as much as a
 * small block, and which it does not do between the layers of a network.
 * @returns the model; `bordersOf` says what it has around the layer
 */
export function layerModel(source: LayerSource, shape: LayerShape): ProbeModel {
  const { random, space } = source;
  const { finalExpandWidth, featureMixWidth } = space;
  switch (shape.kind) {
    case 'stem':
      return partModel(source, imageEntry(source, shape.resolution), keep);
    case 'block': {
      const { block } = shape;
      const map = { side: block.inSize, channels: block.inChannels };
      return partModel(source, mapEntry(source, map), (x, layers) =>
        writeBlock(random.block(block, 'block'), x, layers),
      );
    }
    case 'final-expand': {
      const map = { side: shape.side, channels: shape.inChannels };
      return partModel(source, mapEntry(source, map), (x, layers) =>
        layers.normalised(x, random.finalExpand(map.channels), 'h_swish'),
      );
    }
    case 'pool':
      return borderModel(source, { side: shape.side, channels: finalExpandWidth });
    case 'feature-mix':
      return partModel(source, mapEntry(source, { side: 1, channels: finalExpandWidth }), (x, layers) =>
        layers.convolution(x, random.featureMix(), 'h_swish'),
      );
    case 'classifier':
      return classifierModel(source, { side: 1, channels: featureMixWidth });
  }
}

/** The maps at which a layer's model has a layer more than a network has there. */
export function bordersOf(space: SearchSpace, shape: LayerShape): readonly MapShape[] {
  switch (shape.kind) {
    case 'stem':
      return [{ side: sizeAfter(shape.resolution, space.stem.stride), channels: space.stem.width }];
    case 'block':
      return [
        { side: shape.block.inSize, channels: shape.block.inChannels },
        { side: shape.block.outSize, channels: shape.block.outChannels },
      ];
    case 'final-expand':
      return [
        { side: shape.side, channels: shape.inChannels },
        { side: shape.side, channels: space.finalExpandWidth },
      ];
    case 'pool':
      return [{ side: shape.side, channels: space.finalExpandWidth }];
    case 'feature-mix':
      return [
        { side: 1, channels: space.finalExpandWidth },
        { side: 1, channels: space.featureMixWidth },
      ];
    case 'classifier':
      return [{ side: 1, channels: space.featureMixWidth }];
  }
}

/** A model of nothing but the two small layers: half of it is what a border costs. */
export function borderModel(source: LayerSource, map: MapShape): ProbeModel {
  return partModel(source, mapEntry(source, map), keep);
}

/** A model that does nothing: what a call of ONNX Runtime takes. */
export function callModel(): ProbeModel {
  const shape = [1, 1];
  const graph = new GraphBuilder('call');
  const same = graph.node('Identity', [graph.input(INPUT_NAME, 'float32', shape)], 'same');
  graph.output(same, 'float32', shape);
  return { bytes: graph.encode(), input: { type: 'float32', shape } };
}

/** The input of a model of this form that sees one image. */
export function inputOf(form: InputForm, space: SearchSpace, resolution: number): ProbeModel['input'] {
  return form.type === 'float32'
    ? { type: 'float32', shape: [1, space.inChannels, resolution, resolution] }
    : { type: 'uint8', shape: [form.batch, ...form.frame, space.inChannels] };
}

/** What a model begins with: an input of floats or bytes, and the layer that takes it. */
interface Entry {
  readonly input: ProbeModel['input'];
  readonly writeInput: (graph: GraphBuilder) => string;
  readonly first: NormalisedConvolution;
  readonly activation?: Activation;
}

function imageEntry({ space, form, random }: LayerSource, resolution: number): Entry {
  return {
    input: inputOf(form, space, resolution),
    writeInput: (graph) => writeInput(graph, space, resolution, form),
    first: random.stem(),
    activation: 'h_swish',
  };
}

function mapEntry({ random }: LayerSource, { side, channels }: MapShape): Entry {
  const shape = [1, 1, side, side];
  return {
    input: { type: 'float32', shape },
    writeInput: (graph) => graph.input(INPUT_NAME, 'float32', shape),
    first: random.entry(channels),
  };
}

type WritePart = (x: string, layers: LayerWriter) => string;

const keep: WritePart = (x) => x;

function partModel({ precision }: LayerSource, entry: Entry, write: WritePart): ProbeModel {
  const graph = new GraphBuilder('layer');
  const layers = writerOf(precision, graph, entry.first);
  const part = write(writeEntry(graph, entry, layers), layers);
  graph.output(layers.globalPool(part, 'leave'), precision === 'int8' ? 'uint8' : 'float32', []);
  return { bytes: graph.encode(), input: entry.input };
}

/** The classifier gives floats in every precision, and nothing stands behind it. */
function classifierModel(source: LayerSource, map: MapShape): ProbeModel {
  const graph = new GraphBuilder('layer');
  const entry = mapEntry(source, map);
  const layers = writerOf(source.precision, graph, entry.first);
  const features = writeEntry(graph, entry, layers);
  graph.output(layers.classifier(features, source.random.classifier()), 'float32', []);
  return { bytes: graph.encode(), input: entry.input };
}

function writeEntry(graph: GraphBuilder, entry: Entry, layers: LayerWriter): string {
  return layers.normalised(entry.writeInput(graph), entry.first, entry.activation);
}

/** What a layer takes does not depend on the ranges of its values: they may be any. */
export const ANY_RANGE = { min: -4, max: 4 } as const;

function writerOf(precision: Precision, graph: GraphBuilder, first: NormalisedConvolution): LayerWriter {
  if (precision === 'fp32') return floatLayers(graph);
  return int8Layers(graph, first, (_, least) => ({ ...ANY_RANGE, min: Math.max(ANY_RANGE.min, least) }));
}
