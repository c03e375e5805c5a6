import { writeFile } from 'node:fs/promises';
import onnxProto from 'onnx-proto';

const { onnx } = onnxProto;
const { DataType } = onnx.TensorProto;
const { AttributeType } = onnx.AttributeProto;

/** Side of the square matrices that a slow model multiplies: each product is 0.3 GFLOP or so. */
const WORK_SIDE = 512;

/** A small classifier, right or wrong in one way, fast or slow. */
export interface ModelSpec {
  readonly inputName?: string;
  readonly inputType?: 'uint8' | 'float32';
  readonly inputShape?: readonly number[];
  readonly outputName?: string;
  readonly classes?: number;
  /** Matrix products that every run does first: what makes a model slow. */
  readonly work?: number;
  /** Gives NaN for the last class. */
  readonly notFinite?: boolean;
}

/** Writes a model: the flattened input through a fixed linear layer. Fits 28 x 28 x 1 frames and 10 classes. */
export async function writeModel(path: string, spec: ModelSpec = {}): Promise<void> {
  await writeFile(path, onnx.ModelProto.encode(modelOf(spec)).finish());
}

function modelOf(spec: ModelSpec): InstanceType<typeof onnx.ModelProto> {
  const { inputName = 'image', inputType = 'uint8', inputShape = [1, 28, 28, 1] } = spec;
  const { outputName = 'logits', classes = 10, work = 0 } = spec;
  const inputs = inputShape.reduce((product, dimension) => product * dimension, 1);
  const bias = new Float32Array(classes);
  if (spec.notFinite) bias[classes - 1] = Number.NaN;
  const busy = work === 0 ? { nodes: [], initializers: [], term: 'bias' } : workOf(work);
  return onnx.ModelProto.create({
    irVersion: 8,
    producerName: 'ofa-fleet-test',
    opsetImport: [{ domain: '', version: 13 }],
    graph: {
      name: 'classifier',
      input: [valueInfo(inputName, inputType === 'uint8' ? DataType.UINT8 : DataType.FLOAT, inputShape)],
      output: [valueInfo(outputName, DataType.FLOAT, [1, classes])],
      initializer: [
        int64s('flat-shape', [1, inputs]),
        floats('weights', [inputs, classes], weights(inputs * classes)),
        floats('bias', [1, classes], bias),
        ...busy.initializers,
      ],
      node: [
        node('Cast', [inputName], 'pixels', [{ name: 'to', type: AttributeType.INT, i: DataType.FLOAT }]),
        node('Reshape', ['pixels', 'flat-shape'], 'flat'),
        node('MatMul', ['flat', 'weights'], 'classified'),
        ...busy.nodes,
        node('Add', ['classified', busy.term], outputName),
      ],
    },
  });
}

/** A chain of matrix products that hangs on the input, so that it cannot be computed ahead; it ends in `busy`. */
function workOf(products: number) {
  const side = WORK_SIDE;
  return {
    term: 'busy',
    initializers: [
      int64s('square', [side, side]),
      floats('mixer', [side, side], new Float32Array(side * side).fill(1 / side)),
    ],
    nodes: [
      node('ReduceMean', ['flat'], 'mean', [ints('axes', [0, 1])]),
      node('Expand', ['mean', 'square'], 'product-0'),
      ...Array.from({ length: products }, (_, index) =>
        node('MatMul', [`product-${index}`, 'mixer'], `product-${index + 1}`),
      ),
      node('ReduceMean', [`product-${products}`], 'result', [ints('axes', [0, 1])]),
      node('Add', ['result', 'bias'], 'busy'),
    ],
  };
}

function weights(count: number): Float32Array {
  return Float32Array.from({ length: count }, (_, index) => Math.sin(index) / 1_000);
}

function node(opType: string, input: string[], output: string, attribute: AttributeSpec[] = []) {
  return { opType, input, output: [output], name: output, attribute };
}

type AttributeSpec = Parameters<typeof onnx.AttributeProto.create>[0] & object;

function ints(name: string, values: number[]): AttributeSpec {
  return { name, type: AttributeType.INTS, ints: values };
}

function valueInfo(name: string, elemType: number, shape: readonly (number | string)[]) {
  const dim = shape.map((size) => (typeof size === 'string' ? { dimParam: size } : { dimValue: size }));
  return { name, type: { tensorType: { elemType, shape: { dim } } } };
}

function floats(name: string, dims: number[], data: Float32Array) {
  return { name, dims, dataType: DataType.FLOAT, rawData: new Uint8Array(data.buffer) };
}

function int64s(name: string, values: number[]) {
  return { name, dims: [values.length], dataType: DataType.INT64, int64Data: values };
}

/** A small convolutional classifier of floats, as people bring them along. */
export interface FloatSpec {
  readonly inputName?: string;
  readonly outputName?: string;
  /** Name of the convolution's result, and of the value in the branch. */
  readonly innerNames?: readonly [string, string];
  /** Sizes of the input; a name is an open one. NCHW, unless the last one is the channels. */
  readonly shape?: readonly (number | string)[];
  readonly layout?: 'NCHW' | 'NHWC';
  readonly outputShape?: readonly (number | string)[];
  readonly opset?: number;
  readonly softmax?: boolean;
  /** Puts an If behind the convolution whose branches take its result from outside. */
  readonly branch?: boolean;
  /** Declares the constants as inputs too, as old exporters do. */
  readonly declareConstants?: boolean;
}

const FEATURES = 4;
const YES = { name: 'yes', dims: [], dataType: DataType.BOOL, int32Data: [1] };

/** The model as a message, for a test to change before it encodes it. */
export function floatClassifier(spec: FloatSpec = {}): onnxProto.onnx.IModelProto {
  const { inputName = 'input', outputName = 'output', innerNames = ['maps', 'inner'], opset = 17 } = spec;
  const { shape = [1, 3, 8, 8], layout = 'NCHW', outputShape = ['N', 5], softmax = false } = spec;
  const channels = Number(layout === 'NCHW' ? shape[1] : shape[3]);
  const classes = Number(outputShape[1]);
  const [maps, inner] = innerNames;
  const initializer = [
    floats('kernel', [FEATURES, channels, 3, 3], spread(FEATURES * channels * 9)),
    floats('weights', [FEATURES, classes], spread(FEATURES * classes)),
  ];
  const planes = layout === 'NCHW' ? inputName : 'planes';
  const features = spec.branch ? 'chosen' : maps;
  const scores = softmax ? 'scores' : outputName;
  const declared = initializer.map(({ name, dims }) => valueInfo(name, DataType.FLOAT, dims));
  return {
    irVersion: 8,
    producerName: 'ofa-fleet-test',
    opsetImport: [{ domain: '', version: opset }],
    graph: {
      name: 'classifier',
      input: [valueInfo(inputName, DataType.FLOAT, shape), ...(spec.declareConstants ? declared : [])],
      output: [valueInfo(outputName, DataType.FLOAT, outputShape)],
      initializer: spec.branch ? [...initializer, YES] : initializer,
      node: [
        ...(layout === 'NHWC' ? [node('Transpose', [inputName], planes, [ints('perm', [0, 3, 1, 2])])] : []),
        node('Conv', [planes, 'kernel'], maps, [ints('pads', [1, 1, 1, 1])]),
        ...(spec.branch ? [branch(maps, inner, features)] : []),
        node('Relu', [features], 'active'),
        node('GlobalAveragePool', ['active'], 'pooled'),
        node('Flatten', ['pooled'], 'flat'),
        node('Gemm', ['flat', 'weights'], scores),
        ...(softmax ? [node('Softmax', [scores], outputName)] : []),
      ],
    },
  };
}

/** Bytes of a model that a test has made. */
export function encodeModel(model: onnxProto.onnx.IModelProto): Uint8Array {
  return onnx.ModelProto.encode(model).finish();
}

/** If yes then the value from outside, halved, else the value itself. */
function branch(outer: string, inner: string, output: string) {
  const body = (name: string, graph: Pick<onnxProto.onnx.IGraphProto, 'node' | 'initializer'>) => ({
    name,
    type: AttributeType.GRAPH,
    g: { ...graph, name, output: [{ name: inner, type: { tensorType: { elemType: DataType.FLOAT } } }] },
  });
  const two = floats('two', [], Float32Array.of(2));
  return node('If', ['yes'], output, [
    body('then_branch', { node: [node('Div', [outer, 'two'], inner)], initializer: [two] }),
    body('else_branch', { node: [node('Identity', [outer], inner)], initializer: [] }),
  ]);
}

/** Numbers of either sign that are not small. */
function spread(count: number): Float32Array {
  return Float32Array.from({ length: count }, (_, index) => Math.sin(index * index + 1));
}
