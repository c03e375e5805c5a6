import { AppError } from './errors.ts';
import { type BucketStore, MAX_BUCKET } from './sketch-store.ts';

/*
 * A sketch as bytes: the format, how many zeros there are, and, where there is anything else, the lowest bucket
 * (zigzag), each as a variable-length integer. Then for every bucket with values, rising, a token of one byte:
 * the distance to the bucket before it less one (two bits; 3 says that the rest of it follows), the count's low
 * five bits, and the high bit, which says that the rest of the count follows. What follows does so at once, the
 * count first, as variable-length integers.
 */
const FORMAT = 2;
/** Pairs of (distance zigzag, count) after the same two numbers. Still read: it lies in outboxes and histories. */
const OLD_FORMAT = 1;
/** Greatest count that fits into a token, and the mask of it. */
const LOW_COUNT = 31;
/** The distance that says that the rest of it follows, and its mask. */
const FAR = 3;
/** Of a sketch from outside, in characters of base64: a window's takes a tenth of it. */
const MAX_TEXT = 16_384;
/** Of any sketch: every bucket with the longest token, count and distance. */
const MAX_BYTES = 32 + (2 * MAX_BUCKET + 1) * 10;

/** Room to encode a sketch in, or the bytes of a text. None of it is kept over a call. */
const scratch = Buffer.alloc(MAX_BYTES);

/** A store as bytes. */
export function writeBytes(store: BucketStore): Uint8Array {
  return new Uint8Array(scratch.subarray(0, write(store)));
}

/** A store as base64 of its bytes. */
export function writeText(store: BucketStore): string {
  return scratch.toString('base64', 0, write(store));
}

/** Encodes into the scratch. @returns how many bytes */
function write(store: BucketStore): number {
  let at = putVarint(putVarint(0, FORMAT), store.zeros);
  if (store.others === 0) return at;
  const [lowest, highest] = store.ends();
  at = putVarint(at, zigzag(lowest));
  let previous = lowest - 1;
  for (let bucket = lowest; bucket <= highest; bucket += 1) {
    const count = store.countIn(bucket);
    if (count === 0) continue;
    at = putToken(at, bucket - previous - 1, count);
    previous = bucket;
  }
  return at;
}

function putToken(start: number, distance: number, count: number): number {
  const more = count > LOW_COUNT ? 0x80 : 0;
  scratch[start] = more | ((count % (LOW_COUNT + 1)) << 2) | Math.min(distance, FAR);
  const at = more === 0 ? start + 1 : putVarint(start + 1, Math.floor(count / (LOW_COUNT + 1)));
  return distance < FAR ? at : putVarint(at, distance - FAR);
}

function putVarint(start: number, value: number): number {
  let [at, rest] = [start, value];
  while (rest >= 0x80) {
    scratch[at] = (rest % 0x80) | 0x80;
    rest = Math.floor(rest / 0x80);
    at += 1;
  }
  scratch[at] = rest;
  return at + 1;
}

/** Decodes base64 into the scratch. @returns how many bytes */
function takeText(text: string): number {
  if (text.length > MAX_TEXT) throw broken(`${text.length} characters`);
  const length = scratch.write(text, 'base64');
  // What is not base64 is passed over and leaves too few bytes.
  const characters = text.endsWith('==') ? text.length - 2 : text.length - (text.endsWith('=') ? 1 : 0);
  if (length !== Math.floor((characters * 3) / 4)) throw broken('not base64');
  return length;
}

/** Where reading stands: reading is not interrupted, so that one is enough for all. */
const reader: { bytes: Uint8Array; at: number; end: number } = { bytes: new Uint8Array(), at: 0, end: 0 };

/**
 * Adds what the encoded sketch from `start` to `end` holds to a store.
 * @throws AppError `invalid` when it is broken; what was read until then has been added
 */
export function readBytes(bytes: Uint8Array, start: number, end: number, into: BucketStore): void {
  read(bytes, start, end, into);
}

/** As `readBytes`, from base64. */
export function readText(text: string, into: BucketStore): void {
  read(scratch, 0, takeText(text), into);
}

/** How many values the encoded sketch in base64 holds. @throws AppError `invalid` when it is broken */
export function checkText(text: string): number {
  return read(scratch, 0, takeText(text));
}

function read(bytes: Uint8Array, start: number, end: number, into?: BucketStore): number {
  reader.bytes = bytes;
  reader.at = start;
  reader.end = end;
  const format = takeVarint();
  const zeros = takeVarint();
  if (format !== FORMAT && format !== OLD_FORMAT) throw broken(`format ${format}`);
  const others = format === FORMAT ? readTokens(into) : readPairs(into);
  if (zeros + others > Number.MAX_SAFE_INTEGER) throw broken('more values than can be counted');
  if (into !== undefined) into.zeros += zeros;
  return zeros + others;
}

function readTokens(into: BucketStore | undefined): number {
  const { bytes, end } = reader;
  if (reader.at >= end) return 0;
  let bucket = unzigzag(takeVarint()) - 1;
  checkBucket(bucket + 1, 1);
  let { at } = reader;
  if (at >= end) throw broken('a bucket without its count');
  // Most buckets take one byte.
  into?.expect(bucket + 1, bucket + end - at);
  let total = 0;
  while (at < end) {
    const token = bytes[at] ?? 0;
    at += 1;
    let count = (token >> 2) & LOW_COUNT;
    bucket += (token & FAR) + 1;
    if (token >= 0x80 || (token & FAR) === FAR) {
      reader.at = at;
      if (token >= 0x80) count += takeVarint() * (LOW_COUNT + 1);
      if ((token & FAR) === FAR) bucket += takeVarint();
      ({ at } = reader);
    }
    checkBucket(bucket, count);
    into?.add(bucket, count);
    total += count;
  }
  return total;
}

function readPairs(into: BucketStore | undefined): number {
  let [bucket, total] = [0, 0];
  while (reader.at < reader.end) {
    bucket += unzigzag(takeVarint());
    const count = takeVarint();
    checkBucket(bucket, count);
    into?.add(bucket, count);
    total += count;
  }
  return total;
}

function checkBucket(bucket: number, count: number): void {
  if (count === 0) throw broken(`bucket ${bucket} without values`);
  if (bucket < -MAX_BUCKET || bucket > MAX_BUCKET) throw broken(`bucket ${bucket}`);
}

function takeVarint(): number {
  let value = 0;
  for (let factor = 1; factor <= 2 ** 49 && reader.at < reader.end; factor *= 0x80) {
    const byte = reader.bytes[reader.at] ?? 0;
    reader.at += 1;
    value += (byte & 0x7f) * factor;
    if (byte < 0x80) return value;
  }
  throw broken('cut short');
}

function broken(why: string): AppError {
  return new AppError('invalid', `sketch: ${why}`);
}

function zigzag(value: number): number {
  return value >= 0 ? value * 2 : -value * 2 - 1;
}

function unzigzag(value: number): number {
  return value % 2 === 0 ? value / 2 : -(value + 1) / 2;
}
