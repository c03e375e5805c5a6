import type { AttributeProto, GraphProto, NodeProto, TensorProto } from '../ofa/onnx/proto.ts';

type SparseTensorProto = NonNullable<GraphProto['sparseInitializer']>[number];

/** A graph and every graph in it: the bodies of If, Loop and Scan. */
export function* graphsOf(graph: GraphProto): Generator<GraphProto> {
  yield graph;
  for (const node of graph.node ?? []) {
    for (const inner of innerGraphs(node)) yield* graphsOf(inner);
  }
}

/** The graphs in a node. */
export function innerGraphs({ attribute }: NodeProto): GraphProto[] {
  return (attribute ?? []).flatMap(({ g, graphs }) => [...present(g), ...(graphs ?? [])]);
}

/** Every tensor that is stored in a graph and in the graphs in it. */
export function* tensorsOf(graph: GraphProto): Generator<TensorProto> {
  for (const { initializer, sparseInitializer, node } of graphsOf(graph)) {
    yield* initializer ?? [];
    yield* (sparseInitializer ?? []).flatMap(partsOf);
    for (const { attribute } of node ?? []) yield* (attribute ?? []).flatMap(attributeTensors);
  }
}

function attributeTensors({ t, tensors, sparseTensor, sparseTensors }: AttributeProto): TensorProto[] {
  const sparse = [...present(sparseTensor), ...(sparseTensors ?? [])];
  return [...present(t), ...(tensors ?? []), ...sparse.flatMap(partsOf)];
}

function partsOf({ values, indices }: SparseTensorProto): TensorProto[] {
  return [...present(values), ...present(indices)];
}

/** Names of every value of a graph and of the graphs in it. */
export function valueNames(graph: GraphProto): Set<string> {
  const names = new Set<string>();
  for (const { node, input, output, initializer, sparseInitializer } of graphsOf(graph)) {
    const values = (node ?? []).flatMap((one) => [...(one.input ?? []), ...(one.output ?? [])]);
    const declared = [...(input ?? []), ...(output ?? []), ...(initializer ?? [])].map(({ name }) => name);
    const sparse = (sparseInitializer ?? []).map((tensor) => tensor.values?.name);
    for (const name of [...values, ...declared, ...sparse]) names.add(name ?? '');
  }
  names.delete('');
  return names;
}

/** Names of every node of a graph and of the graphs in it. */
export function nodeNames(graph: GraphProto): Set<string> {
  const nodes = [...graphsOf(graph)].flatMap(({ node }) => node ?? []);
  return new Set(nodes.map(({ name }) => name ?? '').filter((name) => name !== ''));
}

/** A name that is in none of the sets: the given one, or the first of `prefix` and it that is free. */
export function freeName(name: string, prefix: string, taken: readonly ReadonlySet<string>[]): string {
  let free = name;
  while (taken.some((names) => names.has(free))) free = `${prefix}${free}`;
  return free;
}

function present<T>(value: T | null | undefined): T[] {
  return value === null || value === undefined ? [] : [value];
}
