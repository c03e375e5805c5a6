import { AppError } from '../errors.ts';

/**
 * IDX, the format of MNIST and its kin: big-endian, two zero bytes, element type, number of dimensions, then
 * each dimension as uint32, then the elements. Read here: unsigned bytes, as images and as labels.
 */
const UNSIGNED_BYTE = 0x08;

/** Images of one size, one after the other, each row by row, channels last. */
export interface IdxImages {
  readonly count: number;
  /** [height, width, channels]. */
  readonly shape: readonly [number, number, number];
  readonly pixels: Uint8Array;
}

/**
 * Parses a file of images: [count, height, width], or [count, height, width, channels].
 * @param what names the file in errors
 * @throws AppError `invalid` saying what was expected and found
 */
export function parseIdxImages(bytes: Uint8Array, what: string): IdxImages {
  const { dimensions, elements } = parseIdx(bytes, what);
  const [count = 0, height = 0, width = 0, channels = 1] = dimensions;
  if (dimensions.length < 3 || dimensions.length > 4) {
    throw new AppError('invalid', `${what}: ${dimensions.length} dimensions, images have 3 or 4`);
  }
  return { count, shape: [height, width, channels], pixels: elements };
}

/**
 * Parses a file of labels: one byte each.
 * @param what names the file in errors
 * @throws AppError `invalid` saying what was expected and found
 */
export function parseIdxLabels(bytes: Uint8Array, what: string): Uint8Array {
  const { dimensions, elements } = parseIdx(bytes, what);
  if (dimensions.length !== 1) {
    throw new AppError('invalid', `${what}: ${dimensions.length} dimensions, labels have 1`);
  }
  return elements;
}

function parseIdx(bytes: Uint8Array, what: string): { dimensions: number[]; elements: Uint8Array } {
  const view = new DataView(bytes.buffer, bytes.byteOffset, bytes.byteLength);
  if (bytes.length < 4)
    throw new AppError('invalid', `${what}: ${bytes.length} bytes, an IDX header has at least 4`);
  if (view.getUint16(0) !== 0 || view.getUint8(2) !== UNSIGNED_BYTE) {
    const magic = view.getUint32(0).toString(16).padStart(8, '0');
    throw new AppError(
      'invalid',
      `${what}: begins with 0x${magic}, expected 0x000008.. (IDX of unsigned bytes)`,
    );
  }
  const headerBytes = 4 + 4 * view.getUint8(3);
  if (bytes.length < headerBytes) {
    throw new AppError('invalid', `${what}: ${bytes.length} bytes, its header alone has ${headerBytes}`);
  }
  const dimensions = Array.from({ length: view.getUint8(3) }, (_, index) => view.getUint32(4 + 4 * index));
  const expected = headerBytes + dimensions.reduce((product, dimension) => product * dimension, 1);
  if (bytes.length !== expected) {
    const says = dimensions.join(' x ');
    throw new AppError(
      'invalid',
      `${what}: ${bytes.length} bytes, expected ${expected} as its header says ${says}`,
    );
  }
  return { dimensions, elements: bytes.subarray(headerBytes) };
}
