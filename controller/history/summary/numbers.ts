import { invariant } from '../../../shared/errors.ts';

/*
 * Numbers as bytes, for the body of a row: decoding JSON took most of the time of a query. A whole number from
 * zero is it and one more as a variable-length integer; any other is a zero byte and its eight bytes. There
 * is one place to write to and one to read from: neither is ever interrupted.
 */

/** More than the greatest summary takes: 66 points of 160 numbers, 64 families of 32 bytes. */
const MAX_BYTES = 128 * 1024;
/** Whole numbers below take at most as many bytes as others. */
const LARGEST = 2 ** 49;

const scratch = Buffer.alloc(MAX_BYTES);
const view = new DataView(scratch.buffer, scratch.byteOffset, MAX_BYTES);
/** Where writing or reading stands. */
let at = 0;
let end = 0;

/** Begins to write. */
export function beginWriting(): void {
  at = 0;
}

export function putNumber(value: number): void {
  if (!Number.isInteger(value) || value < 0 || value >= LARGEST) {
    scratch[at] = 0;
    view.setFloat64(at + 1, value, true);
    at += 9;
    return;
  }
  let rest = value + 1;
  for (; rest >= 0x80; rest = Math.floor(rest / 0x80)) {
    scratch[at] = (rest % 0x80) | 0x80;
    at += 1;
  }
  scratch[at] = rest;
  at += 1;
}

/** @param digits hexadecimal, an even number of them */
export function putHex(digits: string): void {
  at += scratch.write(digits, at, 'hex');
}

/** What was written, as base64. */
export function written(): string {
  return scratch.toString('base64', 0, at);
}

/** Begins to read what `written` returned. */
export function beginReading(text: string): void {
  invariant(text.length <= MAX_BYTES, 'the body of a row is shorter');
  end = scratch.write(text, 'base64');
  at = 0;
}

/** The next number. What was cut off is zeros: a body is never read beyond its end. */
export function takeNumber(): number {
  const first = at < end ? (scratch[at] ?? 0) : 1;
  at += 1;
  if (first === 0) {
    at += 8;
    return view.getFloat64(at - 8, true);
  }
  if (first < 0x80) return first - 1;
  return takeRest(first & 0x7f) - 1;
}

function takeRest(low: number): number {
  let value = low;
  for (let factor = 0x80; at < end; factor *= 0x80) {
    const byte = scratch[at] ?? 0;
    at += 1;
    value += (byte & 0x7f) * factor;
    if (byte < 0x80) return value;
  }
  return value;
}

/** The next bytes as hexadecimal digits. */
export function takeHex(digits: number): string {
  at += digits / 2;
  return scratch.toString('hex', at - digits / 2, at);
}
