import { AppError } from '../../shared/errors.ts';
import { type GraphProto, onnx, type ValueInfoProto } from '../ofa/onnx/proto.ts';
import { type DecodedModel, decodeModel, isDefaultDomain, numberOf } from './decode.ts';

/** Order of an image's dimensions in a model that takes floats. */
export type Layout = 'NCHW' | 'NHWC';

/** What the model's file leaves open and only its owner knows. */
export interface ReadOptions {
  /** Needed where the input's sizes do not say which of them is the channels. */
  readonly layout?: Layout;
  /** [height, width] in pixels that the network is to see, where its file leaves them open. */
  readonly size?: readonly [number, number];
}

/** `frames`: uint8 [1, H, W, C], as a family's levels take them. `floats`: float32 in `layout`. */
export interface ClassifierInput {
  readonly name: string;
  readonly form: 'frames' | 'floats';
  readonly layout: Layout;
  readonly height: number;
  readonly width: number;
  readonly channels: number;
}

/** An ONNX model that can become a level of a family. */
export interface Classifier {
  /** The file as it is. */
  readonly bytes: Uint8Array;
  readonly model: DecodedModel;
  /** Names the file in errors. */
  readonly what: string;
  readonly input: ClassifierInput;
  readonly output: { readonly name: string; readonly classes: number };
  /** Whether its last operator is a softmax: it gives probabilities, not logits. */
  readonly givesProbability: boolean;
  /** What may not work, for people. */
  readonly warnings: readonly string[];
}

const FORMS: ReadonlyMap<number, ClassifierInput['form']> = new Map([
  [onnx.TensorProto.DataType.UINT8, 'frames'],
  [onnx.TensorProto.DataType.FLOAT, 'floats'],
]);
/** Names of types that are not ONNX's in lower case. */
const TYPE_NAMES: Readonly<Record<string, string>> = { FLOAT: 'float32', DOUBLE: 'float64' };
/** `Resize` without region and scales, and `Clip` as they are written around a classifier, need this one. */
const MIN_OPSET = 13;
/** From this one on a constant need not be declared as an input. */
const MIN_IR_VERSION = 4;
/** As the manifest of a family has them. */
const MAX_SIZE = 16_384;
const MAX_CHANNELS = 4;
const MAX_CLASSES = 100_000;
/** Domains of operators that ONNX Runtime has of its own. */
const KNOWN_DOMAINS: readonly string[] = ['ai.onnx.ml', 'com.microsoft'];
/** Channels by which a layout is recognised: grey and RGB. */
const USUAL_CHANNELS: readonly (number | undefined)[] = [1, 3];

/**
 * Reads an ONNX file and checks that it is an image classifier: one input, uint8 [1, H, W, C] or float32
 * [1, C, H, W] or [1, H, W, C], and one output, float32 [1, classes]; the batch may be open. Constants that
 * are declared as inputs do not count as inputs. It does not run the model.
 * @param what names the file in errors
 * @throws AppError `invalid` naming what was expected and found, and where the owner can help, how
 */
export function readClassifier(bytes: Uint8Array, what: string, options: ReadOptions = {}): Classifier {
  const model = decodeModel(bytes, what);
  checkVersions(model, what);
  // First what goes in: a fixed batch shows at both ends, and is told here with what to do about it.
  const input = readInput(model.graph, what, options);
  const output = readOutput(model.graph, what);
  return {
    bytes,
    model,
    what,
    input,
    output,
    givesProbability: isSoftmax(model.graph, output.name),
    warnings: domainWarnings(model, what),
  };
}

/** The inputs that whoever runs a model has to give. */
export function realInputs(graph: GraphProto): ValueInfoProto[] {
  const sparse = (graph.sparseInitializer ?? []).map(({ values }) => values?.name);
  const constants = new Set([...(graph.initializer ?? []).map(({ name }) => name), ...sparse]);
  return (graph.input ?? []).filter(({ name }) => !constants.has(name));
}

function checkVersions({ opset, irVersion }: DecodedModel, what: string): void {
  if (opset === undefined || opset < MIN_OPSET) {
    throw new AppError(
      'invalid',
      `${what}: its opset is ${opset ?? 'not named'}, at least ${MIN_OPSET} is needed; export it again with opset_version=17, or convert it with onnx.version_converter.convert_version(model, 17)`,
    );
  }
  if (irVersion < MIN_IR_VERSION) {
    throw new AppError(
      'invalid',
      `${what}: its IR version is ${irVersion}, at least ${MIN_IR_VERSION} is needed; export it again with a newer exporter`,
    );
  }
}

function readInput(graph: GraphProto, what: string, options: ReadOptions): ClassifierInput {
  const [input, ...others] = realInputs(graph);
  if (input === undefined || others.length > 0) {
    throw new AppError('invalid', `${what}: has ${input ? others.length + 1 : 0} inputs, expected one`);
  }
  const { form, sizes } = imageOf(input, what);
  const layout = form === 'frames' ? 'NHWC' : (options.layout ?? layoutOf(sizes));
  if (layout === undefined) throw wrongInput(input, what, '; say whether its layout is NCHW or NHWC');
  const [height, width, channels] = layout === 'NHWC' ? sizes : [sizes[1], sizes[2], sizes[0]];
  if (channels === undefined || channels > MAX_CHANNELS) {
    throw wrongInput(input, what, `; as ${layout} it has ${channels ?? 'open'} channels`);
  }
  return {
    name: input.name ?? '',
    form,
    layout,
    height: sizeOf(height, options.size?.[0], `${what}: the height of its input`),
    width: sizeOf(width, options.size?.[1], `${what}: the width of its input`),
    channels,
  };
}

/** What an input is by its type, and its sizes after the batch. */
function imageOf(
  input: ValueInfoProto,
  what: string,
): { form: ClassifierInput['form']; sizes: readonly (number | undefined)[] } {
  const form = FORMS.get(input.type?.tensorType?.elemType ?? 0);
  const [batch, ...sizes] = dimensionsOf(input) ?? [];
  if (form === undefined || sizes.length !== 3) throw wrongInput(input, what, '');
  if ((batch ?? 1) !== 1) throw wrongInput(input, what, '; export it with a batch of 1 or an open one');
  return { form, sizes };
}

/** The layout by which of the three dimensions after the batch is a usual number of channels. */
function layoutOf([first, , last]: readonly (number | undefined)[]): Layout | undefined {
  const isFirst = USUAL_CHANNELS.includes(first);
  if (isFirst === USUAL_CHANNELS.includes(last)) return undefined;
  return isFirst ? 'NCHW' : 'NHWC';
}

function sizeOf(inFile: number | undefined, given: number | undefined, what: string): number {
  const size = inFile ?? given;
  if (size === undefined) throw new AppError('invalid', `${what} is open; say which size it is to see`);
  if (!Number.isInteger(size) || size < 1 || size > MAX_SIZE) {
    throw new AppError('invalid', `${what} is ${size}, expected 1..${MAX_SIZE}`);
  }
  if (given !== undefined && given !== size) {
    throw new AppError('invalid', `${what} is ${size} in the file, ${given} was given`);
  }
  return size;
}

function readOutput(graph: GraphProto, what: string): Classifier['output'] {
  const [output, ...others] = graph.output ?? [];
  if (output === undefined || others.length > 0) {
    throw new AppError('invalid', `${what}: has ${output ? others.length + 1 : 0} outputs, expected one`);
  }
  const [batch, classes, ...more] = dimensionsOf(output) ?? [];
  const isFloat = output.type?.tensorType?.elemType === onnx.TensorProto.DataType.FLOAT;
  const fits = isFloat && more.length === 0 && (batch ?? 1) === 1;
  if (!fits || classes === undefined || classes < 2 || classes > MAX_CLASSES) {
    throw new AppError('invalid', `${what}: output ${described(output)}, expected float32 [1, classes]`);
  }
  const name = output.name ?? '';
  if (!(graph.node ?? []).some((node) => node.output?.includes(name))) {
    throw new AppError('invalid', `${what}: no node gives its output "${name}"`);
  }
  return { name, classes };
}

function isSoftmax(graph: GraphProto, output: string): boolean {
  const last = (graph.node ?? []).find((node) => node.output?.includes(output));
  return last?.opType === 'Softmax' && isDefaultDomain(last.domain);
}

function domainWarnings({ proto, graph }: DecodedModel, what: string): string[] {
  const own = (proto.functions ?? []).map(({ domain }) => domain ?? '');
  const used = new Set((graph.node ?? []).map(({ domain }) => domain ?? ''));
  return [...used]
    .filter((domain) => !isDefaultDomain(domain) && ![...KNOWN_DOMAINS, ...own].includes(domain))
    .map((domain) => `${what}: has operators of the domain "${domain}", which ONNX Runtime may not know`);
}

/** Sizes of a tensor's dimensions, undefined where they are open; undefined for what has no shape. */
export function dimensionsOf({ type }: ValueInfoProto): (number | undefined)[] | undefined {
  return type?.tensorType?.shape?.dim?.map(({ dimValue }) => {
    // Some exporters write an open size as 0 or -1.
    const size = numberOf(dimValue);
    return size > 0 ? size : undefined;
  });
}

function wrongInput(input: ValueInfoProto, what: string, advice: string): AppError {
  return new AppError(
    'invalid',
    `${what}: input ${described(input)}, expected uint8 [1, H, W, C] or float32 [1, C, H, W] or [1, H, W, C]${advice}`,
  );
}

function described(value: ValueInfoProto): string {
  const tensor = value.type?.tensorType;
  if (!tensor) return `"${value.name}" is not a tensor`;
  const type = onnx.TensorProto.DataType[tensor.elemType ?? 0] ?? 'of an unknown type';
  const shape = tensor.shape?.dim?.map(({ dimValue, dimParam }) => dimParam || numberOf(dimValue) || '?');
  return `"${value.name}" is ${TYPE_NAMES[type] ?? type.toLowerCase()} [${shape?.join(', ') ?? 'no shape'}]`;
}
