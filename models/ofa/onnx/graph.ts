import { invariant } from '../../../shared/errors.ts';
import { type AttributeProto, type NodeProto, onnx, type TensorProto } from './proto.ts';

const { AttributeType } = onnx.AttributeProto;
const { DataType } = onnx.TensorProto;

/** Old enough for the ONNX Runtime of a JetPack, new enough for `HardSwish` (14) and per-channel scales (13). */
export const OPSET = 17;
const IR_VERSION = 8;

const DATA_TYPES = {
  float32: DataType.FLOAT,
  uint8: DataType.UINT8,
  int8: DataType.INT8,
  int32: DataType.INT32,
  int64: DataType.INT64,
} as const;
export type ElementType = keyof typeof DATA_TYPES;

/** An operator's attribute, with the type that ONNX is told. */
export type Attribute =
  | { readonly int: number }
  | { readonly ints: readonly number[] }
  | { readonly float: number }
  | { readonly text: string };

type Elements = Float32Array | Uint8Array | Int8Array | Int32Array | BigInt64Array;

const ARRAY_TYPES = [
  [Float32Array, DataType.FLOAT],
  [Uint8Array, DataType.UINT8],
  [Int8Array, DataType.INT8],
  [Int32Array, DataType.INT32],
  [BigInt64Array, DataType.INT64],
] as const;

/** A dimension by its size, or by a name where it is known only when the model runs. */
export type Dimension = number | string;

/**
 * Writes an ONNX graph, node after node. The same calls give the same bytes on every machine (weights are
 * written as the machine has them in memory: little-endian, as all that Node.js and ONNX Runtime support
 * together).
 */
export class GraphBuilder {
  readonly #graph: {
    readonly name: string;
    readonly node: NodeProto[];
    readonly input: ReturnType<typeof valueInfo>[];
    readonly output: ReturnType<typeof valueInfo>[];
    readonly initializer: TensorProto[];
  };

  /** @param name stands in the file, for people */
  constructor(name: string) {
    this.#graph = { name, node: [], input: [], output: [], initializer: [] };
  }

  /** Declares an input of the model; returns its name. */
  input(name: string, type: ElementType, shape: readonly Dimension[]): string {
    this.#graph.input.push(valueInfo(name, type, shape));
    return name;
  }

  /** Declares an output of the model: a value that a node gives. */
  output(name: string, type: ElementType, shape: readonly Dimension[]): void {
    this.#graph.output.push(valueInfo(name, type, shape));
  }

  /**
   * Adds a node with one output.
   * @param inputs names of values; '' for an optional one that is left out
   * @param name of the node and of its output
   * @returns that name
   */
  node(
    opType: string,
    inputs: readonly string[],
    name: string,
    attributes: Readonly<Record<string, Attribute>> = {},
  ): string {
    const node: NodeProto = { opType, name, input: [...inputs], output: [name] };
    const list = Object.entries(attributes).map(([key, value]) => attributeProto(key, value));
    if (list.length > 0) node.attribute = list;
    this.#graph.node.push(node);
    return name;
  }

  /** Adds a constant; returns its name. */
  constant(name: string, shape: readonly number[], data: Elements): string {
    const rawData = new Uint8Array(data.buffer, data.byteOffset, data.byteLength);
    const tensor: TensorProto = { name, dims: [...shape], dataType: typeOf(data), rawData };
    this.#graph.initializer.push(tensor);
    return name;
  }

  /** Adds a constant of 64-bit integers: shapes and sizes. */
  int64s(name: string, values: readonly number[]): string {
    return this.constant(name, [values.length], BigInt64Array.from(values, BigInt));
  }

  /** The model file's bytes. */
  encode(): Uint8Array {
    return onnx.ModelProto.encode({
      irVersion: IR_VERSION,
      producerName: 'ofa-models',
      opsetImport: [{ domain: '', version: OPSET }],
      graph: this.#graph,
    }).finish();
  }
}

function typeOf(data: Elements): number {
  const type = ARRAY_TYPES.find(([array]) => data instanceof array)?.[1];
  invariant(type !== undefined, 'an array of numbers that ONNX has a type for');
  return type;
}

function valueInfo(name: string, type: ElementType, shape: readonly Dimension[]) {
  const dim = shape.map((size) => (typeof size === 'string' ? { dimParam: size } : { dimValue: size }));
  return { name, type: { tensorType: { elemType: DATA_TYPES[type], shape: { dim } } } };
}

function attributeProto(name: string, value: Attribute): AttributeProto {
  if ('int' in value) return { name, type: AttributeType.INT, i: value.int };
  if ('ints' in value) return { name, type: AttributeType.INTS, ints: [...value.ints] };
  if ('float' in value) return { name, type: AttributeType.FLOAT, f: value.float };
  return { name, type: AttributeType.STRING, s: new TextEncoder().encode(value.text) };
}
