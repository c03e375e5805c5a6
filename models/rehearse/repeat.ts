import type { Classifier } from '../import/classifier.ts';
import { isDefaultDomain } from '../import/decode.ts';
import { type Renaming, renamed } from '../import/rename.ts';
import { nodeNames, valueNames } from '../import/walk.ts';
import type { GraphProto, NodeProto } from '../ofa/onnx/proto.ts';
import { freePrefix, type Part, partOf } from './parts.ts';

/** What all runs of a network share. */
interface Chain {
  readonly prefix: string;
  readonly image: string;
  readonly scores: string;
  /** Names of the values and nodes of which every run has its own. */
  readonly values: readonly string[];
  readonly nodes: readonly string[];
}

/**
 * The graph with its network several times in a row, of which the last one answers. Each run takes its frame
 * through an index that is made of the scores before, and always 0: an optimiser can neither compute it ahead
 * nor see that all runs are the same, and the frame is the same to the bit. Weights are there once.
 */
export function repeated({ model: { graph }, input, output }: Classifier, times: number): GraphProto {
  const shared = sharedValues(graph);
  const chain: Chain = {
    prefix: freePrefix(graph),
    image: input.name,
    scores: output.name,
    values: [...valueNames(graph)].filter((name) => name !== input.name && !shared.has(name)),
    nodes: [...nodeNames(graph)],
  };
  const network: GraphProto = {
    node: (graph.node ?? []).filter((node) => !isConstant(node)),
    valueInfo: (graph.valueInfo ?? []).filter(({ name }) => !shared.has(name ?? '')),
  };
  const runs = Array.from({ length: times }, (_, run) => renamed(network, renamingOf(chain, run, times)));
  const frames = Array.from({ length: times }, (_, run) => frameOf(chain, run));
  return {
    ...graph,
    node: [
      ...(graph.node ?? []).filter(isConstant),
      ...runs.flatMap(({ node }, run) => [...(frames[run]?.node ?? []), ...(node ?? [])]),
    ],
    initializer: [...(graph.initializer ?? []), ...frames.flatMap(({ initializer }) => initializer)],
    valueInfo: runs.flatMap(({ valueInfo }) => valueInfo ?? []),
  };
}

/** What does not hang on the frame, and is large: weights, also those that stand in nodes. */
function sharedValues({ initializer, sparseInitializer, node }: GraphProto): ReadonlySet<string> {
  const tensors = [
    ...(initializer ?? []).map(({ name }) => name),
    ...(sparseInitializer ?? []).map(({ values }) => values?.name),
  ];
  const results = (node ?? []).filter(isConstant).flatMap(({ output }) => output ?? []);
  return new Set([...tensors, ...results].map((name) => name ?? ''));
}

function isConstant({ opType, domain }: NodeProto): boolean {
  return opType === 'Constant' && isDefaultDomain(domain);
}

/** The last run keeps the names, so that the model's output is what it was. */
function renamingOf(chain: Chain, run: number, times: number): Renaming {
  const { prefix, image, values, nodes } = chain;
  const isLast = run === times - 1;
  const named = (name: string): [string, string] => [name, `${prefix}run-${run}.${name}`];
  const frame: [string, string][] = run === 0 ? [] : [[image, frameName(chain, run)]];
  return {
    values: new Map([...(isLast ? [] : values.map(named)), ...frame]),
    nodes: new Map(isLast ? [] : nodes.map(named)),
  };
}

/**
 * The frame again, once the scores before are there. The batch has one entry, so the best of the batch is
 * number 0 for each class, whatever the scores are; the first of these picks the frame.
 */
function frameOf(chain: Chain, run: number): Part {
  const { prefix, image, scores } = chain;
  return partOf((builder) => {
    if (run === 0) return;
    const name = frameName(chain, run);
    const best = builder.node('ArgMax', [`${prefix}run-${run - 1}.${scores}`], `${name}.best`, {
      axis: { int: 0 },
      keepdims: { int: 0 },
    });
    const index = builder.node('Gather', [best, builder.int64s(`${name}.first`, [0])], `${name}.index`);
    builder.node('Gather', [image, index], name);
  });
}

function frameName({ prefix }: Chain, run: number): string {
  return `${prefix}frame-${run}`;
}
