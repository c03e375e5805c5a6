import { nodeNames, valueNames } from '../import/walk.ts';
import { GraphBuilder } from '../ofa/onnx/graph.ts';
import { type GraphProto, type NodeProto, onnx, type TensorProto } from '../ofa/onnx/proto.ts';

/** Nodes and constants that are put into a model. */
export interface Part {
  readonly node: readonly NodeProto[];
  readonly initializer: readonly TensorProto[];
}

/** Writes a part: the same operators in every opset from 13 on. */
export function partOf(write: (builder: GraphBuilder) => void): Part {
  const builder = new GraphBuilder('part');
  write(builder);
  const { node, initializer } = onnx.ModelProto.decode(builder.encode()).graph ?? {};
  return { node: node ?? [], initializer: initializer ?? [] };
}

/** What no name of a graph begins with, so that every name behind it is free. */
export function freePrefix(graph: GraphProto): string {
  const taken = [...valueNames(graph), ...nodeNames(graph)];
  let prefix = 'rehearsal.';
  while (taken.some((name) => name.startsWith(prefix))) prefix = `rehearsal.${prefix}`;
  return prefix;
}
