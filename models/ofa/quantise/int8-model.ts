import { AppError } from '../../../shared/errors.ts';
import { batchOf, type InputForm, writeInput } from '../graph/input.ts';
import { writeNetwork } from '../graph/layers.ts';
import type { SubNetwork } from '../network.ts';
import { GraphBuilder } from '../onnx/graph.ts';
import type { Range, Ranges } from './affine.ts';
import { int8Layers, type RangeOf } from './int8-layers.ts';
import { withBalancedStem } from './stem.ts';

/** Raised whenever the same sub-network and ranges would give other bytes. */
export const QUANTISER_VERSION = 1;

/**
 * A sub-network as an ONNX model whose layers compute in 8 bits: `image` in, `logits` [N, classes] out, as
 * `floatModel` has them. The same sub-network and ranges give the same bytes, on every machine.
 * @param ranges of every name of `quantisedTensors`; others are ignored
 * @throws AppError `invalid` naming a value whose range is missing or is none, or a layer whose weights are
 * not finite
 */
export function int8Model(network: SubNetwork, form: InputForm, ranges: Ranges): Uint8Array {
  const graph = new GraphBuilder('sub-network-int8');
  const image = writeInput(graph, network.space, network.architecture.r, form);
  const logits = writeInt8Network(graph, network, image, (name, least) => {
    const { min, max } = rangeIn(ranges, name);
    return { min: Math.max(min, least), max: Math.max(max, least) };
  });
  graph.output(logits, 'float32', [batchOf(form), network.space.classes]);
  return graph.encode();
}

/** A value whose range the quantiser needs. */
export interface QuantisedValue {
  /** As the range model has it. */
  readonly name: string;
  /** What is below counts as this. */
  readonly least: number;
}

/** The values of a sub-network that need ranges, in the order in which they are computed. */
export function quantisedValues(network: SubNetwork): QuantisedValue[] {
  const values: QuantisedValue[] = [];
  writeInt8Network(new GraphBuilder(''), network, 'image', (name, least) => {
    values.push({ name, least });
    return { min: 0, max: 1 };
  });
  return values;
}

/** The names of `quantisedValues`. */
export function quantisedTensors(network: SubNetwork): string[] {
  return quantisedValues(network).map(({ name }) => name);
}

function writeInt8Network(graph: GraphBuilder, network: SubNetwork, image: string, rangeOf: RangeOf): string {
  const balanced = withBalancedStem(network);
  return writeNetwork(balanced, image, int8Layers(graph, balanced.stem, rangeOf));
}

function rangeIn(ranges: Ranges, name: string): Range {
  const range = ranges.get(name);
  if (range === undefined) throw new AppError('invalid', `int8: there is no range of ${name}`);
  const { min, max } = range;
  if (Number.isFinite(min) && Number.isFinite(max) && min <= max) return range;
  throw new AppError('invalid', `int8: expected a range of ${name} from low to high, found ${min} to ${max}`);
}
