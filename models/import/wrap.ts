import { AppError } from '../../shared/errors.ts';
import { INPUT_NAME, OUTPUT_NAME, writeFrames } from '../ofa/graph/input.ts';
import { normalisationProblem } from '../ofa/normalisation.ts';
import { GraphBuilder } from '../ofa/onnx/graph.ts';
import { type GraphProto, onnx } from '../ofa/onnx/proto.ts';
import { type Classifier, dimensionsOf, realInputs } from './classifier.ts';
import { type Renaming, renamed } from './rename.ts';
import { freeName, nodeNames, valueNames } from './walk.ts';

/** What stands between a family's frames and the classifier. */
export interface WrapOptions {
  /** [height, width] of the frames in pixels: one for all levels of a family. */
  readonly frame: readonly [number, number];
  /** Of pixels as 0..1, one value per channel. A classifier that takes uint8 has them inside: not used. */
  readonly mean: readonly number[];
  readonly std: readonly number[];
  /** The output is a probability: its logarithm is given as logits. Default: where a softmax comes last. */
  readonly outputIsProbability?: boolean;
}

/** What a name gets before it where it stands in our part as well. */
const PREFIX = 'model.';
/** Softmax gives 0 for what is very unlikely, whose logarithm is not finite; above what float16 can hold. */
const MIN_PROBABILITY = 1e-7;

/** Nodes and constants that are put before or behind the classifier. */
interface Part {
  readonly graph: GraphProto;
  /** Where the part touches the classifier: the value it gives, or the one it takes. */
  readonly seam: string;
}

/**
 * Writes a classifier as a level of a family: `image` uint8 [1, H, W, C] in, `logits` float32 [1, classes]
 * out. In front come transposition, cast, resizing (bilinear, half-pixel centres) and normalisation, as in
 * the levels of Once-for-all; the classifier's own operators, opset, and IR version stay as they are. What
 * fits already comes back byte for byte. The same classifier and options give the same bytes.
 * @throws AppError `usage` for options that do not fit the classifier
 */
export function wrapClassifier(classifier: Classifier, options: WrapOptions): Uint8Array {
  checkOptions(classifier, options);
  const outputIsProbability = options.outputIsProbability ?? classifier.givesProbability;
  if (isLevel(classifier) && !outputIsProbability) return classifier.bytes;
  const front = frontOf(classifier, options);
  const back = backOf(classifier, outputIsProbability);
  const { model, input, output } = classifier;
  const seams = new Map([
    [input.name, front.seam],
    [output.name, back.seam],
  ]);
  const graph = renamed(model.graph, clashFree(model.graph, [front.graph, back.graph], seams));
  return onnx.ModelProto.encode({
    ...model.proto,
    // Graphs for training are of no use here, and would go on naming the old values.
    trainingInfo: [],
    graph: {
      ...graph,
      input: front.graph.input ?? [],
      node: [...(front.graph.node ?? []), ...(graph.node ?? []), ...(back.graph.node ?? [])],
      initializer: [
        ...(front.graph.initializer ?? []),
        ...(graph.initializer ?? []),
        ...(back.graph.initializer ?? []),
      ],
      output: back.graph.output ?? [],
    },
  }).finish();
}

function checkOptions({ input, what }: Classifier, { frame, mean, std }: WrapOptions): void {
  const { form, channels, height, width } = input;
  if (form === 'frames') {
    if (frame[0] === height && frame[1] === width) return;
    throw new AppError(
      'usage',
      `${what}: takes frames of ${height} x ${width} bytes, not ${frame.join(' x ')}; only what takes floats can be given other frames`,
    );
  }
  if (frame.some((size) => !Number.isInteger(size) || size < 1 || size > 16_384)) {
    throw new AppError('usage', `frames of ${frame.join(' x ')}: expected whole numbers of 1..16384 pixels`);
  }
  if (mean.length !== channels || std.length !== channels) {
    throw new AppError(
      'usage',
      `${what}: has ${channels} channels, ${mean.length} means and ${std.length} standard deviations were given`,
    );
  }
  const problem = normalisationProblem(mean, std);
  if (problem !== undefined) throw new AppError('usage', problem);
}

/** Whether a classifier is what a family's level is, to the names and to the batch of 1. */
function isLevel({ model, input, output }: Classifier): boolean {
  const { graph } = model;
  const values = [...(graph.input ?? []), ...(graph.output ?? [])];
  return (
    input.form === 'frames' &&
    input.name === INPUT_NAME &&
    output.name === OUTPUT_NAME &&
    realInputs(graph).length === graph.input?.length &&
    values.every((value) => dimensionsOf(value)?.every((size) => size !== undefined))
  );
}

function frontOf({ input }: Classifier, { frame, mean, std }: WrapOptions): Part {
  const builder = new GraphBuilder('front');
  const { channels, height, width, layout, form } = input;
  if (form === 'frames') {
    const image = builder.input(INPUT_NAME, 'uint8', [1, ...frame, channels]);
    return { graph: graphOf(builder), seam: image };
  }
  const seam = writeFrames(builder, { frame, batch: 1, channels, size: [height, width], mean, std });
  if (layout === 'NCHW') return { graph: graphOf(builder), seam };
  const rows = builder.node('Transpose', [seam], 'image.rows', { perm: { ints: [0, 2, 3, 1] } });
  return { graph: graphOf(builder), seam: rows };
}

function backOf({ output }: Classifier, outputIsProbability: boolean): Part {
  const builder = new GraphBuilder('back');
  builder.output(OUTPUT_NAME, 'float32', [1, output.classes]);
  if (!outputIsProbability) return { graph: graphOf(builder), seam: OUTPUT_NAME };
  const seam = 'logits.probability';
  const least = builder.constant('logits.least', [], Float32Array.of(MIN_PROBABILITY));
  builder.node('Log', [builder.node('Clip', [seam, least], 'logits.clipped')], OUTPUT_NAME);
  return { graph: graphOf(builder), seam };
}

function graphOf(builder: GraphBuilder): GraphProto {
  return onnx.ModelProto.decode(builder.encode()).graph ?? {};
}

/** The names of the seams, and new names for what of the classifier has a name that the parts use. */
function clashFree(
  graph: GraphProto,
  parts: readonly GraphProto[],
  seams: ReadonlyMap<string, string>,
): Renaming {
  const values = valueNames(graph);
  const nodes = nodeNames(graph);
  const ourValues = new Set([...parts.flatMap((part) => [...valueNames(part)]), ...seams.values()]);
  const ourNodes = new Set(parts.flatMap((part) => [...nodeNames(part)]));
  return {
    values: new Map([...newNames(values, ourValues), ...seams]),
    nodes: newNames(nodes, ourNodes),
  };
}

function newNames(names: ReadonlySet<string>, ours: ReadonlySet<string>): Map<string, string> {
  const clashing = [...names].filter((name) => ours.has(name));
  return new Map(clashing.map((name) => [name, freeName(`${PREFIX}${name}`, PREFIX, [names, ours])]));
}
