import Type from 'typebox';
import { AppError } from '../../shared/errors.ts';
import { parseJson, parserOf } from '../../shared/schema.ts';
import {
  type Architecture,
  ArchitectureFileSchema,
  architectureParser,
  writtenArchitecture,
} from './architecture.ts';
import { type Checkpoint, type CheckpointTensor, toFloat32 } from './checkpoint.ts';
import { batchNorms, type Statistics, type SubNetwork } from './network.ts';
import { parseSafetensors, writeSafetensors } from './safetensors.ts';

/** Raised whenever the same recipe would give other bytes: the graph's form, or how weights are folded. */
export const CUTTER_VERSION = 1;

/**
 * All that is needed, beside a backbone, to cut one level of a family: kilobytes instead of megabytes. The
 * same backbone and recipe give the identical ONNX file on every machine.
 */
export interface Recipe {
  /** `id` of the backbone that it is for. */
  readonly backbone: string;
  readonly architecture: Architecture;
  /** [height, width] of the family's frames. */
  readonly frame: readonly [number, number];
  /** Of every batch norm, in the order of `batchNorms`, one value per channel. */
  readonly mean: Float32Array;
  readonly variance: Float32Array;
  /** What an int8 level needs besides; without it the level is fp32. */
  readonly quantisation?: Quantisation;
}

export interface Quantisation {
  /** Version of the rules by which ranges become an int8 graph. */
  readonly quantiser: number;
  /** [least, greatest] of every activation that is quantised, in the quantiser's order. */
  readonly ranges: Float32Array;
}

/** As a manifest has it. */
const Side = Type.Integer({ minimum: 1, maximum: 16_384 });

const HeaderSchema = Type.Object({
  format: Type.Literal(1),
  cutter: Type.Integer({ minimum: 1 }),
  quantiser: Type.Optional(Type.Integer({ minimum: 1 })),
  backbone: Type.String({ pattern: '^[0-9a-f]{64}$' }),
  architecture: ArchitectureFileSchema,
  frame: Type.Tuple([Side, Side]),
});

/** A recipe's file: safetensors, whose metadata say what it is of. The same recipe gives the same bytes. */
export function encodeRecipe(recipe: Recipe): Uint8Array {
  const { backbone, architecture, frame, mean, variance, quantisation } = recipe;
  const tensors: [string, CheckpointTensor][] = [
    ['mean', floats(mean, [mean.length])],
    ['variance', floats(variance, [variance.length])],
  ];
  if (quantisation !== undefined) {
    tensors.push(['ranges', floats(quantisation.ranges, [quantisation.ranges.length / 2, 2])]);
  }
  const header = {
    format: 1,
    cutter: CUTTER_VERSION,
    ...(quantisation === undefined ? {} : { quantiser: quantisation.quantiser }),
    backbone,
    architecture: writtenArchitecture(architecture),
    frame,
  };
  return writeSafetensors(tensors, { recipe: JSON.stringify(header) });
}

function floats(data: Float32Array, shape: readonly number[]): CheckpointTensor {
  return { dtype: 'F32', shape, bytes: new Uint8Array(data.buffer, data.byteOffset, data.byteLength) };
}

/**
 * Reads a recipe's file.
 * @param what names the file in messages
 * @throws AppError `invalid` when it is no recipe, or one of rules that this version does not have
 */
export function decodeRecipe(bytes: Uint8Array, what: string): Recipe {
  const checkpoint = parseSafetensors(bytes, what);
  const text = checkpoint.metadata['recipe'];
  if (text === undefined) throw new AppError('invalid', `${what}: it is no recipe, its metadata have none`);
  const header = parseJson(text, parserOf(HeaderSchema), `${what}: its recipe`);
  if (header.cutter !== CUTTER_VERSION) {
    throw new AppError(
      'invalid',
      `${what}: cut by rules of version ${header.cutter}, this program has version ${CUTTER_VERSION}`,
    );
  }
  return {
    backbone: header.backbone,
    architecture: architectureParser()(header.architecture, `${what}: its architecture`),
    frame: header.frame,
    mean: tensor(checkpoint, 'mean', what),
    variance: tensor(checkpoint, 'variance', what),
    ...(header.quantiser === undefined
      ? {}
      : { quantisation: { quantiser: header.quantiser, ranges: tensor(checkpoint, 'ranges', what) } }),
  };
}

function tensor({ tensors }: Checkpoint, name: string, what: string): Float32Array {
  const found = tensors.get(name);
  if (found === undefined) throw new AppError('invalid', `${what}: it has no tensor "${name}"`);
  const data = toFloat32(found, `${what}: ${name}`);
  if (!data.every(Number.isFinite))
    throw new AppError('invalid', `${what}: ${name} is not finite everywhere`);
  return data;
}

/** A recipe's statistics in one piece, from those of each batch norm. */
export function packStatistics(
  network: SubNetwork,
  statistics: ReadonlyMap<string, Statistics>,
): Pick<Recipe, 'mean' | 'variance'> {
  const all = batchNorms(network).map(({ name }) => {
    const found = statistics.get(name);
    if (found === undefined) throw new AppError('invalid', `recipe: there are no statistics of ${name}`);
    return found;
  });
  return { mean: joined(all.map(({ mean }) => mean)), variance: joined(all.map(({ variance }) => variance)) };
}

/**
 * The statistics of each batch norm, out of a recipe's.
 * @throws AppError `invalid` when there are not as many as the sub-network has channels, or a variance is
 * below zero
 */
export function unpackStatistics(
  network: SubNetwork,
  { mean, variance }: Pick<Recipe, 'mean' | 'variance'>,
): Map<string, Statistics> {
  const norms = batchNorms(network);
  const channels = norms.reduce((sum, norm) => sum + norm.mean.length, 0);
  if (mean.length !== channels || variance.length !== channels) {
    throw new AppError(
      'invalid',
      `recipe: statistics of ${mean.length} and ${variance.length} channels, the sub-network has ${channels}`,
    );
  }
  if (variance.some((value) => value < 0)) throw new AppError('invalid', 'recipe: a variance is below zero');
  let offset = 0;
  const entries = norms.map(({ name, mean: { length } }): [string, Statistics] => {
    const place: [number, number] = [offset, offset + length];
    offset += length;
    return [name, { mean: mean.subarray(...place), variance: variance.subarray(...place) }];
  });
  return new Map(entries);
}

function joined(parts: readonly Float32Array[]): Float32Array {
  const all = new Float32Array(parts.reduce((sum, { length }) => sum + length, 0));
  let offset = 0;
  for (const part of parts) {
    all.set(part, offset);
    offset += part.length;
  }
  return all;
}
