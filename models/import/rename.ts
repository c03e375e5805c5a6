import type { AttributeProto, GraphProto, NodeProto } from '../ofa/onnx/proto.ts';

type SparseTensorProto = NonNullable<GraphProto['sparseInitializer']>[number];
type TensorAnnotation = NonNullable<GraphProto['quantizationAnnotation']>[number];

/** New names by old ones; what is in neither map keeps its name. */
export interface Renaming {
  readonly values: ReadonlyMap<string, string>;
  readonly nodes: ReadonlyMap<string, string>;
}

/**
 * A copy of a graph in which values and nodes have other names. A name is replaced wherever it stands, in the
 * graphs in the graph too, so that a body which uses an outer value goes on doing so: as long as the new
 * names are free in all of them, the copy means the same. Weights are shared with the original.
 */
export function renamed(graph: GraphProto, renaming: Renaming): GraphProto {
  const named = <T extends { name?: string | null }>(item: T): T => ({
    ...item,
    name: newName(renaming.values, item.name),
  });
  return {
    ...graph,
    node: (graph.node ?? []).map((node) => renamedNode(node, renaming)),
    input: (graph.input ?? []).map(named),
    output: (graph.output ?? []).map(named),
    valueInfo: (graph.valueInfo ?? []).map(named),
    initializer: (graph.initializer ?? []).map(named),
    sparseInitializer: (graph.sparseInitializer ?? []).map((tensor) => renamedSparse(tensor, renaming)),
    quantizationAnnotation: (graph.quantizationAnnotation ?? []).map((one) => annotated(one, renaming)),
  };
}

function renamedNode(node: NodeProto, renaming: Renaming): NodeProto {
  const { values, nodes } = renaming;
  return {
    ...node,
    name: newName(nodes, node.name),
    input: (node.input ?? []).map((name) => newName(values, name)),
    output: (node.output ?? []).map((name) => newName(values, name)),
    attribute: (node.attribute ?? []).map((attribute) => renamedAttribute(attribute, renaming)),
  };
}

function renamedAttribute(attribute: AttributeProto, renaming: Renaming): AttributeProto {
  const { g, graphs } = attribute;
  if (!g && (graphs ?? []).length === 0) return attribute;
  return {
    ...attribute,
    ...(g ? { g: renamed(g, renaming) } : {}),
    graphs: (graphs ?? []).map((graph) => renamed(graph, renaming)),
  };
}

/** The name of a sparse tensor stands on its values. */
function renamedSparse(tensor: SparseTensorProto, { values }: Renaming): SparseTensorProto {
  if (!tensor.values) return tensor;
  return { ...tensor, values: { ...tensor.values, name: newName(values, tensor.values.name) } };
}

function annotated(annotation: TensorAnnotation, { values }: Renaming): TensorAnnotation {
  const parameters = annotation.quantParameterTensorNames ?? [];
  return {
    ...annotation,
    tensorName: newName(values, annotation.tensorName),
    quantParameterTensorNames: parameters.map((one) => ({ ...one, value: newName(values, one.value) })),
  };
}

function newName(names: ReadonlyMap<string, string>, name: string | null | undefined): string {
  return names.get(name ?? '') ?? name ?? '';
}
