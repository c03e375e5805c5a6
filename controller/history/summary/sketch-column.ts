import type { Sketch } from '../../../shared/sketch.ts';

/** Sketches one behind the other, each behind its length in bytes as a variable-length integer. */
export function joinSketches(sketches: readonly Sketch[]): Uint8Array | null {
  if (sketches.length === 0) return null;
  const parts = sketches.map((sketch) => sketch.encodeBytes());
  const column = new Uint8Array(parts.reduce((sum, { length }) => sum + lengthOf(length) + length, 0));
  let at = 0;
  for (const part of parts) {
    let rest = part.length;
    for (; rest >= 0x80; rest >>>= 7) {
      column[at] = (rest & 0x7f) | 0x80;
      at += 1;
    }
    column[at] = rest;
    column.set(part, at + 1);
    at += 1 + part.length;
  }
  return column;
}

/** How many bytes a length takes. */
function lengthOf(value: number): number {
  return value < 0x80 ? 1 : 1 + lengthOf(value >>> 7);
}

/** Where reading a column stands. */
export interface SketchReader {
  readonly bytes: Uint8Array;
  at: number;
}

/**
 * Adds the next sketch of a column to `into`.
 * @throws AppError `invalid` when there is none, or it is broken
 */
export function mergeNext(reader: SketchReader, into: Sketch): void {
  const { bytes } = reader;
  let length = 0;
  let { at } = reader;
  for (let shift = 0; ; shift += 7) {
    const byte = bytes[at] ?? 0;
    at += 1;
    length |= (byte & 0x7f) << shift;
    if (byte < 0x80) break;
  }
  reader.at = at + length;
  into.mergeBytes(bytes, at, Math.min(reader.at, bytes.length));
}
