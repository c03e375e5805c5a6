import { AppError } from '../../shared/errors.ts';

/** Reads little-endian values one after the other out of bytes that may be cut short or damaged. */
export interface ByteReader {
  /** Place of the next byte. */
  position: () => number;
  remaining: () => number;
  /** The next bytes, in the memory of the whole. */
  take: (count: number) => Uint8Array;
  u8: () => number;
  u16: () => number;
  u32: () => number;
  i32: () => number;
  /** An unsigned 64-bit number; refused where it is above 2^53 - 1. */
  u64: () => number;
  /** Big-endian, as pickles have it. */
  f64BigEndian: () => number;
  /** An error that names the file and the place. */
  problem: (message: string) => AppError;
}

/**
 * Makes a reader; each of its methods throws AppError `invalid` where the bytes end too early.
 * @param what names the file in messages
 * @param start place of the first byte to read
 */
export function byteReader(bytes: Uint8Array, what: string, start = 0): ByteReader {
  const view = new DataView(bytes.buffer, bytes.byteOffset, bytes.byteLength);
  let next = start;
  const problem = (message: string): AppError =>
    new AppError('invalid', `${what}: ${message} (at byte ${next})`);
  const skip = (count: number): number => {
    const place = next;
    if (count > bytes.length - place) {
      throw problem(`cut short: expected ${count} more bytes, found ${Math.max(0, bytes.length - place)}`);
    }
    next += count;
    return place;
  };
  return {
    problem,
    position: () => next,
    remaining: () => bytes.length - next,
    take: (count) => {
      const place = skip(count);
      return bytes.subarray(place, place + count);
    },
    u8: () => view.getUint8(skip(1)),
    u16: () => view.getUint16(skip(2), true),
    u32: () => view.getUint32(skip(4), true),
    i32: () => view.getInt32(skip(4), true),
    u64: () => {
      const value = view.getBigUint64(skip(8), true);
      if (value > Number.MAX_SAFE_INTEGER) throw problem(`the size ${value} is beyond any file`);
      return Number(value);
    },
    f64BigEndian: () => view.getFloat64(skip(8), false),
  };
}
