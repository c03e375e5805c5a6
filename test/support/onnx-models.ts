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

function valueInfo(name: string, elemType: number, shape: readonly number[]) {
  return {
    name,
    type: { tensorType: { elemType, shape: { dim: shape.map((dimValue) => ({ dimValue })) } } },
  };
}

function floats(name: string, dims: number[], data: Float32Array) {
  return { name, dims, dataType: DataType.FLOAT, rawData: new Uint8Array(data.buffer) };
}

function int64s(name: string, values: number[]) {
  return { name, dims: [values.length], dataType: DataType.INT64, int64Data: values };
}
