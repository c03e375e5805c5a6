import { AppError } from '../../shared/errors.ts';

/** A model with more bytes is not read: far above what a Jetson serves, below what protocol buffers can be. */
export const MAX_MODEL_BYTES = 512 * 1024 * 1024;
/** A model whose decoded form would take more memory is not decoded: two bytes of a file may become 250. */
const MAX_DECODED_BYTES = 1024 * 1024 * 1024;
/** A graph in a graph takes three levels. */
const MAX_DEPTH = 64;

/** What the decoded form of one field takes, with its share of the message that it stands in. */
const BYTES_PER_FIELD = 256;
/** Fields of one value, by how it is written. */
const WIRE_TYPES = { int: 0, text: 2, float: 5 } as const;
/** Fields of many values, which stand packed behind each other or one by one. */
const LISTS = {
  int64s: { wireType: 0, decodedPerByte: 40 },
  int32s: { wireType: 0, decodedPerByte: 8 },
  floats: { wireType: 5, decodedPerByte: 2 },
  doubles: { wireType: 1, decodedPerByte: 1 },
} as const;

/**
 * The fields of ONNX's messages (onnx.proto3) that the decoder knows. The decoder goes by a field's number
 * alone: what is not written as it says there would be read as something else.
 */
const MESSAGES = {
  model: {
    ...{ 1: 'int', 2: 'text', 3: 'text', 4: 'text', 5: 'int', 6: 'text', 7: 'graph' },
    ...{ 8: 'opset', 14: 'entry', 20: 'training', 25: 'function' },
  },
  opset: { 1: 'text', 2: 'int' },
  entry: { 1: 'text', 2: 'text' },
  training: { 1: 'graph', 2: 'graph', 3: 'entry', 4: 'entry' },
  function: {
    ...{ 1: 'text', 4: 'text', 5: 'text', 6: 'text', 7: 'node', 8: 'text', 9: 'opset', 10: 'text' },
  },
  graph: {
    ...{ 1: 'node', 2: 'text', 5: 'tensor', 10: 'text', 11: 'value', 12: 'value' },
    ...{ 13: 'value', 14: 'annotation', 15: 'sparse' },
  },
  node: { 1: 'text', 2: 'text', 3: 'text', 4: 'text', 5: 'attribute', 6: 'text', 7: 'text' },
  attribute: {
    ...{ 1: 'text', 2: 'float', 3: 'int', 4: 'text', 5: 'tensor', 6: 'graph', 7: 'floats', 8: 'int64s' },
    ...{ 9: 'text', 10: 'tensor', 11: 'graph', 13: 'text', 14: 'type', 15: 'type', 20: 'int', 21: 'text' },
    ...{ 22: 'sparse', 23: 'sparse' },
  },
  tensor: {
    ...{ 1: 'int64s', 2: 'int', 3: 'segment', 4: 'floats', 5: 'int32s', 6: 'text', 7: 'int64s' },
    ...{ 8: 'text', 9: 'text', 10: 'doubles', 11: 'int64s', 12: 'text', 13: 'entry', 14: 'int' },
  },
  segment: { 1: 'int', 2: 'int' },
  sparse: { 1: 'tensor', 2: 'tensor', 3: 'int64s' },
  annotation: { 1: 'text', 2: 'entry' },
  value: { 1: 'text', 2: 'type', 3: 'text' },
  type: { 1: 'tensorType', 4: 'sequence', 5: 'map', 6: 'text', 8: 'tensorType', 9: 'sequence' },
  tensorType: { 1: 'int', 2: 'shape' },
  sequence: { 1: 'type' },
  map: { 1: 'int', 2: 'type' },
  shape: { 1: 'dimension' },
  dimension: { 1: 'int', 2: 'text', 3: 'text' },
} as const satisfies Record<string, Readonly<Record<number, string>>>;
type MessageName = keyof typeof MESSAGES;
type Field = (typeof MESSAGES)[MessageName] extends infer Fields
  ? Fields extends object
    ? Fields[keyof Fields]
    : never
  : never;

/**
 * Fields of one message, by their numbers; of those of a type there may be one altogether. Where one comes
 * twice, this decoder takes the last and others put both together: what is checked would not be what runs.
 */
const SINGLE: Readonly<Partial<Record<MessageName, readonly number[]>>> = {
  model: [7],
  training: [1, 2],
  attribute: [5, 6, 14, 22],
  tensor: [3],
  sparse: [1, 2],
  value: [2],
  type: [1, 4, 5, 8, 9],
  tensorType: [2],
  sequence: [1],
  map: [2],
};

interface Scan {
  readonly bytes: Uint8Array;
  readonly what: string;
  position: number;
  decodedBytes: number;
}

/**
 * Walks over a model's bytes without decoding them: a file that passes is whole, its messages lie within each
 * other, none is there twice where one is expected, and its decoded form takes a bounded amount of memory.
 * @param what names the file in errors
 * @throws AppError `invalid` naming the byte at which it is not an ONNX file, or the bound that it breaks
 */
export function checkWire(bytes: Uint8Array, what: string): void {
  if (bytes.length > MAX_MODEL_BYTES) {
    throw new AppError('invalid', `${what}: ${bytes.length} bytes, at most ${MAX_MODEL_BYTES} are read`);
  }
  scanMessage({ bytes, what, position: 0, decodedBytes: 0 }, 'model', bytes.length, 0);
}

function scanMessage(scan: Scan, name: MessageName, end: number, depth: number): void {
  if (depth > MAX_DEPTH)
    throw new AppError('invalid', `${scan.what}: nested deeper than ${MAX_DEPTH} levels`);
  const fields: Readonly<Record<number, Field>> = MESSAGES[name];
  const seen: number[] = [];
  while (scan.position < end) {
    const tag = readVarint(scan, end);
    if (tag < 8 || tag >= 2 ** 32) throw malformed(scan);
    take(scan, BYTES_PER_FIELD);
    const wireType = tag % 8;
    const number = Math.floor(tag / 8);
    const field = fields[number];
    if (field !== undefined && !mayBe(field, wireType)) throw malformed(scan);
    checkSingle(scan, name, number, seen);
    if (wireType === 2) scanDelimited(scan, field, end, depth);
    else skipScalar(scan, wireType, end);
  }
}

/** Notes a field of one message in `seen`, and refuses a second one. */
function checkSingle({ what, position }: Scan, name: MessageName, field: number, seen: number[]): void {
  if (!SINGLE[name]?.includes(field)) return;
  if (seen.includes(field) || (name === 'type' && seen.length > 0)) {
    throw new AppError(
      'invalid',
      `${what}: not an ONNX file: a ${name} has two messages where one may be (field ${field}, byte ${position})`,
    );
  }
  seen.push(field);
}

function mayBe(field: Field, wireType: number): boolean {
  if (field in WIRE_TYPES) return WIRE_TYPES[field as keyof typeof WIRE_TYPES] === wireType;
  return wireType === 2 || (isList(field) && LISTS[field].wireType === wireType);
}

function isList(field: Field): field is keyof typeof LISTS {
  return field in LISTS;
}

function scanDelimited(scan: Scan, field: Field | undefined, end: number, depth: number): void {
  const fieldEnd = readVarint(scan, end) + scan.position;
  if (fieldEnd > end) throw malformed(scan);
  if (field !== undefined && isList(field)) scanList(scan, field, fieldEnd);
  else if (field !== undefined && field in MESSAGES) {
    scanMessage(scan, field as MessageName, fieldEnd, depth + 1);
  }
  scan.position = fieldEnd;
}

/** The last element must end where the list does, or the decoder would read on from elsewhere. */
function scanList(scan: Scan, field: keyof typeof LISTS, end: number): void {
  const { wireType, decodedPerByte } = LISTS[field];
  const length = end - scan.position;
  take(scan, length * decodedPerByte);
  const isWhole =
    wireType === 0
      ? length === 0 || (scan.bytes[end - 1] ?? 0) < 128
      : length % (wireType === 5 ? 4 : 8) === 0;
  if (!isWhole) throw malformed(scan);
}

function skipScalar(scan: Scan, wireType: number, end: number): void {
  if (wireType === 0) readVarint(scan, end);
  else if (wireType === 1) scan.position += 8;
  else if (wireType === 5) scan.position += 4;
  else throw malformed(scan);
  if (scan.position > end) throw malformed(scan);
}

/** Exact up to 2^53; beyond it only how many bytes there are matters. */
function readVarint(scan: Scan, end: number): number {
  const last = Math.min(end, scan.position + 10);
  let value = 0;
  for (let factor = 1; scan.position < last; factor *= 128) {
    const byte = scan.bytes[scan.position] ?? 0;
    scan.position += 1;
    value += (byte % 128) * factor;
    if (byte < 128) return value;
  }
  throw malformed(scan);
}

function take(scan: Scan, decodedBytes: number): void {
  scan.decodedBytes += decodedBytes;
  if (scan.decodedBytes > MAX_DECODED_BYTES) {
    throw new AppError('invalid', `${scan.what}: would take more than ${MAX_DECODED_BYTES} bytes of memory`);
  }
}

function malformed({ what, position }: Scan): AppError {
  return new AppError('invalid', `${what}: not an ONNX file, or cut off (byte ${position})`);
}
