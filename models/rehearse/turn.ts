import type { Classifier } from '../import/classifier.ts';
import { renamed } from '../import/rename.ts';
import type { GraphProto } from '../ofa/onnx/proto.ts';
import { freePrefix, partOf } from './parts.ts';

/** The graph with its classes turned by one: what was class 0 is class 1, the last one is class 0. */
export function turned({ model: { graph }, output }: Classifier): GraphProto {
  const { name, classes } = output;
  const prefix = freePrefix(graph);
  const right = `${prefix}${name}`;
  const part = partOf((builder) => {
    const order = Array.from({ length: classes }, (_, index) => (index + classes - 1) % classes);
    builder.node('Gather', [right, builder.int64s(`${prefix}order`, order)], name, { axis: { int: 1 } });
  });
  // A node may have the name of the value that it gives.
  const names = new Map([[name, right]]);
  const network = renamed(graph, { values: names, nodes: names });
  return {
    ...network,
    node: [...(network.node ?? []), ...part.node],
    initializer: [...(network.initializer ?? []), ...part.initializer],
    output: graph.output ?? [],
  };
}
