import Type, { type Static } from 'typebox';
import { AppError } from '../../shared/errors.ts';
import { parseJson, parserOf } from '../../shared/schema.ts';
import {
  type Checkpoint,
  type CheckpointTensor,
  ELEMENT_BYTES,
  type ElementType,
  quoted,
} from './checkpoint.ts';
import { repeatedKey } from './json-keys.ts';
import { sizeOf } from './tensors.ts';

/**
 * The format allows 100 MB, which as objects fill gigabytes. The largest space that can be written has some
 * 13,000 tensors, which take half of this.
 */
const MAX_HEADER_BYTES = 4 * 1024 * 1024;
const LENGTH_BYTES = 8;
const METADATA = '__metadata__';

const Size = Type.Integer({ minimum: 0, maximum: Number.MAX_SAFE_INTEGER });
const TensorSchema = Type.Object({
  dtype: Type.String(),
  shape: Type.Array(Size, { maxItems: 64 }),
  data_offsets: Type.Tuple([Size, Size]),
});
const parseHeader = parserOf(Type.Record(Type.String(), Type.Unknown()));
const parseMetadata = parserOf(Type.Record(Type.String(), Type.String()));
const parseTensor = parserOf(TensorSchema);

interface Entry {
  readonly name: string;
  readonly dtype: ElementType;
  readonly shape: readonly number[];
  readonly begin: number;
  readonly end: number;
}

/**
 * Reads a file of safetensors: a little-endian u64 with the header's length, the header in JSON, and the
 * tensors' bytes one after the other. The tensors share the file's memory and come in the order of their
 * bytes.
 * @param what names the file in messages
 * @throws AppError `invalid` for everything that the format's specification forbids
 */
export function parseSafetensors(bytes: Uint8Array, what: string): Checkpoint {
  const { text, dataStart } = headerOf(bytes, what);
  const header = parseJson(text, parseHeader, `${what}: header`);
  const repeated = repeatedKey(text);
  if (repeated !== undefined) {
    throw new AppError('invalid', `${what}: header: the key ${quoted(repeated)} comes twice`);
  }
  const { [METADATA]: metadata = {}, ...tensors } = header;
  const entries = Object.entries(tensors)
    .map(([name, value]) => entryOf(name, value, what))
    .sort((a, b) => a.begin - b.begin || a.end - b.end);
  const data = bytes.subarray(dataStart);
  checkCoverage(entries, data.length, what);
  return {
    metadata: parseMetadata(metadata, `${what}: ${METADATA}`),
    tensors: new Map(
      entries.map(({ name, dtype, shape, begin, end }) => [
        name,
        { dtype, shape, bytes: data.subarray(begin, end) },
      ]),
    ),
  };
}

function headerOf(bytes: Uint8Array, what: string): { text: string; dataStart: number } {
  const available = bytes.length - LENGTH_BYTES;
  if (available < 2)
    throw new AppError('invalid', `${what}: ${bytes.length} bytes hold no safetensors header`);
  const length = new DataView(bytes.buffer, bytes.byteOffset).getBigUint64(0, true);
  const most = Math.min(available, MAX_HEADER_BYTES);
  if (length > most) {
    throw new AppError(
      'invalid',
      `${what}: the header is said to have ${length} bytes, expected at most ${most}`,
    );
  }
  const dataStart = LENGTH_BYTES + Number(length);
  try {
    const text = new TextDecoder('utf-8', { fatal: true, ignoreBOM: true }).decode(
      bytes.subarray(LENGTH_BYTES, dataStart),
    );
    if (text.startsWith('{')) return { text, dataStart };
  } catch (cause) {
    throw new AppError('invalid', `${what}: the header is not UTF-8`, { cause });
  }
  throw new AppError('invalid', `${what}: the header does not begin with {`);
}

function entryOf(name: string, value: unknown, what: string): Entry {
  const place = `${what}: tensor ${quoted(name)}`;
  const { dtype, shape, data_offsets }: Static<typeof TensorSchema> = parseTensor(value, place);
  if (!isElementType(dtype)) {
    const types = Object.keys(ELEMENT_BYTES).join(', ');
    throw new AppError('invalid', `${place}: expected a dtype of ${types}, found ${quoted(dtype)}`);
  }
  const [begin, end] = data_offsets;
  const size = sizeOf(shape) * ELEMENT_BYTES[dtype];
  if (end - begin !== size) {
    throw new AppError(
      'invalid',
      `${place}: ${dtype} of shape [${shape.join(', ')}] has ${size} bytes, its offsets ${begin} to ${end} have ${end - begin}`,
    );
  }
  return { name, dtype, shape, begin, end };
}

function isElementType(name: string): name is ElementType {
  return Object.hasOwn(ELEMENT_BYTES, name);
}

/** Every byte behind the header belongs to exactly one tensor. */
function checkCoverage(entries: readonly Entry[], length: number, what: string): void {
  let end = 0;
  for (const entry of entries) {
    if (entry.begin !== end) {
      const problem = entry.begin < end ? 'overlaps the tensor before it' : 'leaves a hole before it';
      throw new AppError(
        'invalid',
        `${what}: tensor ${quoted(entry.name)} ${problem}: it begins at ${entry.begin}, expected ${end}`,
      );
    }
    end = entry.end;
  }
  if (end !== length) {
    throw new AppError('invalid', `${what}: the tensors end at ${end}, the file has ${length} bytes of them`);
  }
}

/**
 * Writes a file of safetensors. The bytes depend on nothing but the arguments: tensors stay in the order in
 * which they are given, metadata is sorted by its keys, and the header is padded to a multiple of 8 bytes.
 * @throws AppError `invalid` for a name that comes twice or is the metadata's
 */
export function writeSafetensors(
  tensors: Iterable<readonly [name: string, tensor: CheckpointTensor]>,
  metadata: Readonly<Record<string, string>>,
): Uint8Array {
  const list = [...tensors];
  checkNames(list.map(([name]) => name));
  const header = headerText(list, metadata);
  const length = LENGTH_BYTES + header.length;
  const total = list.reduce((sum, [, { bytes }]) => sum + bytes.length, length);
  const file = new Uint8Array(total);
  new DataView(file.buffer).setBigUint64(0, BigInt(header.length), true);
  file.set(header, LENGTH_BYTES);
  let offset = length;
  for (const [, { bytes }] of list) {
    file.set(bytes, offset);
    offset += bytes.length;
  }
  return file;
}

function checkNames(names: readonly string[]): void {
  const seen = new Set([METADATA]);
  for (const name of names) {
    if (seen.has(name)) throw new AppError('invalid', `safetensors: a second tensor named ${quoted(name)}`);
    seen.add(name);
  }
}

/** Not by way of an object, which would put names like "0" first. */
function headerText(
  tensors: readonly (readonly [string, CheckpointTensor])[],
  metadata: Readonly<Record<string, string>>,
): Uint8Array {
  const sorted = Object.entries(metadata).sort(([a], [b]) => (a < b ? -1 : 1));
  const members = sorted.length === 0 ? [] : [member(METADATA, `{${sorted.map(stringMember).join(',')}}`)];
  let begin = 0;
  for (const [name, { dtype, shape, bytes }] of tensors) {
    const data_offsets = [begin, begin + bytes.length];
    members.push(member(name, JSON.stringify({ dtype, shape, data_offsets })));
    begin += bytes.length;
  }
  const text = new TextEncoder().encode(`{${members.join(',')}}`);
  const padded = new Uint8Array(Math.ceil(text.length / 8) * 8).fill(0x20);
  padded.set(text);
  return padded;
}

function stringMember([key, value]: readonly [string, string]): string {
  return member(key, JSON.stringify(value));
}

function member(key: string, json: string): string {
  return `${JSON.stringify(key)}:${json}`;
}
