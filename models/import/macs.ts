import { AppError, describeError } from '../../shared/errors.ts';
import { createSessionFromBytes, type Session, servingOptions, Tensor } from '../../shared/onnx.ts';
import { type GraphProto, type NodeProto, onnx } from '../ofa/onnx/proto.ts';
import { sizeOf } from '../ofa/tensors.ts';
import { realInputs } from './classifier.ts';
import { type DecodedModel, decodeModel } from './decode.ts';
import { freeName, graphsOf, innerGraphs, nodeNames, valueNames } from './walk.ts';

type Shape = readonly number[];

/** Which values' shapes an operator's cost hangs on, by their places among its inputs, and the formula. */
interface Rule {
  readonly inputs: readonly number[];
  readonly macs: (node: NodeProto, output: Shape, inputs: readonly Shape[]) => number;
}

/** Every output value takes in each weight of its channel; `weight` is [M, C / group, ...kernel]. */
function convolution(weight: number): Rule {
  return { inputs: [weight], macs: (_, output, [w = []]) => (sizeOf(output) * sizeOf(w)) / (w[0] ?? 1) };
}

/** Every input value goes into each weight of its channel; the weight is [C, M / group, ...kernel]. */
const TRANSPOSED: Rule = {
  inputs: [0, 1],
  macs: (_, __, [x = [], w = []]) => (sizeOf(x) * sizeOf(w)) / (w[0] ?? 1),
};

/** Every output value is a product over the shared dimension: of the first factor the last one. */
const PRODUCT: Rule = {
  inputs: [0],
  macs: (node, output, [a = []]) => sizeOf(output) * (a.at(isSet(node, 'transA') ? -2 : -1) ?? 1),
};

/** Operators that multiply and accumulate, ONNX's own and those that ONNX Runtime's tools write. */
const RULES: ReadonlyMap<string, Rule> = new Map([
  ...['Conv', 'ConvInteger', 'DeformConv', 'FusedConv', 'NhwcConv'].map(
    (op) => [op, convolution(1)] as const,
  ),
  ['QLinearConv', convolution(3)],
  ['ConvTranspose', TRANSPOSED],
  ...['Gemm', 'FusedGemm', 'QGemm'].map((op) => [op, PRODUCT] as const),
  ...['MatMul', 'FusedMatMul', 'MatMulInteger', 'QLinearMatMul'].map((op) => [op, PRODUCT] as const),
]);

/** Operators that multiply much, and for which there is no rule here: a count without them would be false. */
const WITHOUT_RULE = new Set([
  ...['LSTM', 'GRU', 'RNN', 'Einsum', 'Attention', 'MultiHeadAttention', 'QAttention', 'GroupQueryAttention'],
  ...[
    'DynamicQuantizeLSTM',
    'DynamicQuantizeMatMul',
    'MatMulIntegerToFloat',
    'MatMulNBits',
    'QLinearConvTranspose',
  ],
]);

/** An input with more elements is not made. */
const MAX_INPUT_ELEMENTS = 100_000_000;
/** A node that multiplies, with the names of the values whose shapes its cost hangs on. */
interface Multiplier {
  readonly node: NodeProto;
  readonly rule: Rule;
  readonly output: string;
  readonly inputs: readonly string[];
}

/**
 * Multiply-accumulate operations of one inference: of convolutions and matrix products, no biases, no
 * activations, as Once-for-all counts. The model runs once in ONNX Runtime, on zeros, and gives the shapes
 * of what its operators see; so nothing has to be known about any other operator. An open batch is taken
 * as 1. Blocks the thread as long as a run does.
 * @param what names the file in errors
 * @throws AppError `invalid` for what is no ONNX model, does not run, or has operators that cannot be counted
 */
export async function countMacs(bytes: Uint8Array, what: string): Promise<number> {
  const model = decodeModel(bytes, what);
  refuseUncountable(model, what);
  const multipliers = (model.graph.node ?? []).flatMap(multiplierOf);
  if (multipliers.length === 0) return 0;
  const values = [...new Set(multipliers.flatMap(({ output, inputs }) => [output, ...inputs]))];
  const shapes = await shapesOf(model, values, what);
  const shape = (name: string): Shape => shapes.get(name) ?? [];
  return multipliers.reduce(
    (sum, { node, rule, output, inputs }) => sum + rule.macs(node, shape(output), inputs.map(shape)),
    0,
  );
}

function multiplierOf(node: NodeProto): Multiplier[] {
  const rule = RULES.get(node.opType ?? '');
  if (rule === undefined) return [];
  const inputs = rule.inputs.map((index) => node.input?.[index] ?? '');
  return [{ node, rule, output: node.output?.[0] ?? '', inputs }];
}

function refuseUncountable({ graph, proto }: DecodedModel, what: string): void {
  const nodes = graph.node ?? [];
  const unknown = [...graphsOf(graph)]
    .flatMap(({ node }) => node ?? [])
    .find(({ opType }) => WITHOUT_RULE.has(opType ?? ''));
  if (unknown !== undefined) {
    throw new AppError('invalid', `${what}: the operations of its ${unknown.opType} cannot be counted`);
  }
  const inner = nodes.flatMap(innerGraphs).flatMap((body) => [...graphsOf(body)]);
  const hidden = [...inner, ...(proto.functions ?? [])].flatMap(({ node }) => node ?? []);
  const uncounted = hidden.find(({ opType }) => RULES.has(opType ?? '') || WITHOUT_RULE.has(opType ?? ''));
  if (uncounted !== undefined) {
    throw new AppError(
      'invalid',
      `${what}: a branch, loop or function of it has a ${uncounted.opType}, whose operations cannot be counted`,
    );
  }
}

/** Runs the model for the shapes of values, which it gives as outputs in place of its own. */
async function shapesOf(
  model: DecodedModel,
  values: readonly string[],
  what: string,
): Promise<Map<string, Shape>> {
  const { bytes, names } = shapeModel(model, values);
  try {
    const session = await createSessionFromBytes(bytes, {
      ...servingOptions(['cpu'], 1),
      // Fused nodes would no longer give the values.
      graphOptimizationLevel: 'disabled',
    });
    try {
      const results = await session.run(zerosFor(session, what));
      return new Map(values.map((value, index) => [value, shapeFrom(results[names[index] ?? '']?.data)]));
    } finally {
      await session.release();
    }
  } catch (cause) {
    if (cause instanceof AppError) throw cause;
    throw new AppError('invalid', `${what}: does not run: ${describeError(cause)}`, { cause });
  }
}

function shapeModel(
  { proto, graph, irVersion }: DecodedModel,
  values: readonly string[],
): { bytes: Uint8Array; names: readonly string[] } {
  const taken = [valueNames(graph), nodeNames(graph)];
  const names = values.map((_, index) => freeName(`shape.${index}`, 'macs.', taken));
  const nodes = values.map((value, index) => ({
    opType: 'Shape',
    name: names[index] ?? '',
    input: [value],
    output: [names[index] ?? ''],
  }));
  const elemType = onnx.TensorProto.DataType.INT64;
  const probed: GraphProto = {
    ...graph,
    // What is declared as an input is no constant, and may be given: only old models need it.
    input: irVersion < 4 ? (graph.input ?? []) : realInputs(graph),
    node: [...(graph.node ?? []), ...nodes],
    output: names.map((name) => ({ name, type: { tensorType: { elemType, shape: { dim: [{}] } } } })),
  };
  return { bytes: onnx.ModelProto.encode({ ...proto, trainingInfo: [], graph: probed }).finish(), names };
}

function zerosFor(session: Session, what: string): Record<string, Tensor> {
  const feeds = session.inputMetadata.map((input): [string, Tensor] => {
    const shape = input.isTensor ? input.shape.map((size, index) => fixedSize(size, index)) : [];
    const size = sizeOf(shape);
    if (!input.isTensor || !(size <= MAX_INPUT_ELEMENTS)) {
      throw new AppError('invalid', `${what}: input "${input.name}" is open or too large to be run on zeros`);
    }
    if (input.type === 'float32') return [input.name, new Tensor('float32', new Float32Array(size), shape)];
    if (input.type === 'uint8') return [input.name, new Tensor('uint8', new Uint8Array(size), shape)];
    throw new AppError('invalid', `${what}: input "${input.name}" is ${input.type}, not float32 or uint8`);
  });
  return Object.fromEntries(feeds);
}

/** Only the batch may be open: NaN is no size. */
function fixedSize(size: number | string, index: number): number {
  if (typeof size === 'number' && size > 0) return size;
  return index === 0 ? 1 : Number.NaN;
}

function shapeFrom(data: unknown): Shape {
  return data instanceof BigInt64Array ? Array.from(data, Number) : [];
}

function isSet({ attribute }: NodeProto, name: string): boolean {
  return (attribute ?? []).some((one) => one.name === name && String(one.i) !== '0');
}
