import { createHash } from 'node:crypto';
import { AppError, invariant } from '../../shared/errors.ts';
import { parseJson } from '../../shared/schema.ts';
import { type Checkpoint, type CheckpointTensor, quoted, toFloat32 } from './checkpoint.ts';
import { type ExpectedTensor, expectedTensors } from './layout.ts';
import { writeSafetensors } from './safetensors.ts';
import { type SearchSpace, spaceParser, specOf } from './space.ts';
import { inferSpace, KNOWN_SPACES, SPACE_ASSUMED } from './spaces.ts';
import type { FloatTensor, TensorMap } from './tensors.ts';

/** The weights of a whole super-network with the space that they are of. */
export interface Backbone {
  readonly space: SearchSpace;
  /** Exactly the tensors of `expectedTensors(space)`, in its order. */
  readonly tensors: TensorMap;
  /** SHA-256 of the space and every tensor: the same weights have the same id in whatever file. */
  readonly id: string;
}

/** Puts together a backbone of tensors that are known to fit the space. */
export function makeBackbone(space: SearchSpace, tensors: TensorMap): Backbone {
  return { space, tensors, id: idOf(space, tensors) };
}

/**
 * The backbone that a checkpoint holds. Names may be those of MIT's released files
 * (`mobile_inverted_conv`) or have `module.` before them; batch norm's `num_batches_tracked` is left out.
 * @param what names the file in messages
 * @param space else that of the checkpoint's metadata (`spec`), else MIT's with the widths of the tensors
 * @throws AppError `invalid` for a tensor that is missing, unexpected, of another shape or not of floats,
 *   for a number that is not finite and for a negative variance, naming it
 */
export function backboneOf(
  checkpoint: Checkpoint,
  { what, space: given }: { readonly what: string; readonly space?: SearchSpace },
): Backbone {
  const found = byCurrentNames(checkpoint.tensors, what);
  const known = given ?? statedSpace(checkpoint, what);
  const space = known ?? inferSpace(shapesOf(found), what);
  const problem = layoutProblem(found, expectedTensors(space, { batchCounts: true }));
  if (problem !== undefined) {
    throw new AppError('invalid', `${what}: ${problem}${known === undefined ? ` ${SPACE_ASSUMED}` : ''}`);
  }
  const tensors = new Map<string, FloatTensor>();
  for (const expected of expectedTensors(space)) {
    const tensor = found.get(expected.name);
    invariant(tensor !== undefined, `${expected.name} was there`);
    tensors.set(expected.name, checkedFloats(tensor, expected, `${what}: ${expected.name}`));
  }
  return makeBackbone(space, tensors);
}

/**
 * A backbone as a safetensors file with its space as `spec` in the metadata; the same backbone and metadata
 * give the same bytes.
 */
export function writeBackbone(
  { space, tensors }: Backbone,
  extraMetadata: Readonly<Record<string, string>> = {},
): Uint8Array {
  const list = expectedTensors(space).map(({ name, shape }): [string, CheckpointTensor] => [
    name,
    { dtype: 'F32', shape, bytes: bytesOf(tensors, name) },
  ]);
  // `format` is what Hugging Face's loaders look for.
  return writeSafetensors(list, { ...extraMetadata, format: 'pt', spec: JSON.stringify(specOf(space)) });
}

function idOf(space: SearchSpace, tensors: TensorMap): string {
  const hash = createHash('sha256').update(JSON.stringify(specOf(space)));
  for (const { name, shape } of expectedTensors(space)) {
    hash.update(`\n${name} ${JSON.stringify(shape)}\n`).update(bytesOf(tensors, name));
  }
  return hash.digest('hex');
}

/** Little-endian, as every machine is that Node.js runs on here. */
function bytesOf(tensors: TensorMap, name: string): Uint8Array {
  const tensor = tensors.get(name);
  invariant(tensor !== undefined, `a backbone without ${name}`);
  const { buffer, byteOffset, byteLength } = tensor.data;
  return new Uint8Array(buffer, byteOffset, byteLength);
}

type Tensors = ReadonlyMap<string, CheckpointTensor>;

function byCurrentNames(tensors: Tensors, what: string): Tensors {
  const renamed = new Map<string, CheckpointTensor>();
  for (const [name, tensor] of tensors) {
    const current = name
      .replace(/^module\./, '')
      .replace(/^(blocks\.\d+)\.mobile_inverted_conv\./, '$1.conv.');
    if (renamed.has(current)) {
      throw new AppError(
        'invalid',
        `${what}: tensor ${quoted(current)} is there twice, as ${quoted(name)} too`,
      );
    }
    renamed.set(current, tensor);
  }
  return renamed;
}

function shapesOf(tensors: Tensors): ReadonlyMap<string, readonly number[]> {
  return new Map([...tensors].map(([name, { shape }]) => [name, shape]));
}

function statedSpace({ metadata }: Checkpoint, what: string): SearchSpace | undefined {
  const text = metadata['spec'];
  if (text === undefined) return undefined;
  const parse = spaceParser();
  return parseJson(
    text,
    (value, place) => {
      const space = parse(value, place);
      const hasFrame = typeof value === 'object' && value !== null && Object.hasOwn(value, 'frame');
      return hasFrame ? space : withKnownFrame(space);
    },
    `${what}: spec in the metadata`,
  );
}

/** A spec without `frame` is of training, which knows no cameras: a known space that is else equal has it. */
function withKnownFrame(space: SearchSpace): SearchSpace {
  const written = JSON.stringify(specOf(space));
  const known = [...KNOWN_SPACES.values()].find(
    (candidate) => JSON.stringify(specOf({ ...candidate, frame: space.frame })) === written,
  );
  return known ?? space;
}

/** Files of before PyTorch 0.4.1 have no counts of batches; everything else must be there, and no more. */
function layoutProblem(found: Tensors, all: readonly ExpectedTensor[]): string | undefined {
  const missing = all.filter(({ name, role }) => role !== 'batch-count' && !found.has(name));
  if (missing[0] !== undefined) return `${missing[0].name} is missing${andMore(missing)}`;
  const names = new Set(all.map(({ name }) => name));
  const unexpected = [...found.keys()].filter((name) => !names.has(name));
  if (unexpected[0] !== undefined) {
    return `${quoted(unexpected[0])} is not a tensor of the space${andMore(unexpected)}`;
  }
  for (const { name, shape } of all) {
    const actual = found.get(name)?.shape ?? shape;
    if (actual.length !== shape.length || actual.some((dimension, axis) => dimension !== shape[axis])) {
      return `${name}: expected shape [${shape.join(', ')}], found [${actual.join(', ')}]`;
    }
  }
  return undefined;
}

function andMore({ length }: readonly unknown[]): string {
  return length > 1 ? `, and ${length - 1} more` : '';
}

function checkedFloats(tensor: CheckpointTensor, { shape, role }: ExpectedTensor, what: string): FloatTensor {
  const data = toFloat32(tensor, what);
  const least = role === 'running-variance' ? 0 : -Infinity;
  const index = firstOutside(data, least);
  if (index === undefined) return { shape, data };
  const expected = role === 'running-variance' ? 'a variance from 0' : 'a finite number';
  throw new AppError('invalid', `${what}: element ${index} is ${data[index]}, expected ${expected}`);
}

/** A loop: over ten million numbers `findIndex` takes a tenth of a second longer. */
function firstOutside(data: Float32Array, least: number): number | undefined {
  for (let index = 0; index < data.length; index += 1) {
    const value = data[index] ?? Number.NaN;
    if (!(value >= least && value > -Infinity && value < Infinity)) return index;
  }
  return undefined;
}
