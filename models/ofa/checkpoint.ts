import { AppError } from '../../shared/errors.ts';
import { sizeOf } from './tensors.ts';

/** Bytes of one element, by the names that safetensors has for types. */
export const ELEMENT_BYTES = {
  F64: 8,
  F32: 4,
  F16: 2,
  BF16: 2,
  I64: 8,
  I32: 4,
  I16: 2,
  I8: 1,
  U8: 1,
  BOOL: 1,
} as const;

export type ElementType = keyof typeof ELEMENT_BYTES;

/** A tensor as a file has it: little-endian, row-major, without gaps. */
export interface CheckpointTensor {
  readonly dtype: ElementType;
  readonly shape: readonly number[];
  readonly bytes: Uint8Array;
}

const SHOWN_NAME_LENGTH = 120;

/** A name out of a file as messages have it: on one line, and not longer than a line. */
export function quoted(name: string): string {
  return JSON.stringify(name.length > SHOWN_NAME_LENGTH ? `${name.slice(0, SHOWN_NAME_LENGTH)}…` : name);
}

/** What a file of weights holds, whatever its form. */
export interface Checkpoint {
  readonly tensors: ReadonlyMap<string, CheckpointTensor>;
  /** Empty where the form has none. */
  readonly metadata: Readonly<Record<string, string>>;
}

/**
 * A tensor's numbers as 32-bit floats; those of a float32 tensor share the file's memory where its place
 * allows it. Numbers that a float32 cannot hold become infinite.
 * @param what names the tensor in messages
 * @throws AppError `invalid` if the tensor is not of floats
 */
export function toFloat32(tensor: CheckpointTensor, what: string): Float32Array {
  const count = sizeOf(tensor.shape);
  switch (tensor.dtype) {
    case 'F32': {
      const { buffer, byteOffset } = aligned(tensor.bytes, 4);
      return new Float32Array(buffer, byteOffset, count);
    }
    case 'F64': {
      const { buffer, byteOffset } = aligned(tensor.bytes, 8);
      return Float32Array.from(new Float64Array(buffer, byteOffset, count));
    }
    case 'BF16':
      return fromHalves(tensor.bytes, count, (bits) => bits << 16);
    case 'F16':
      return fromHalves(tensor.bytes, count, float16ToFloat32Bits);
    default:
      throw new AppError('invalid', `${what}: expected a tensor of floats, found ${tensor.dtype}`);
  }
}

/** Typed arrays can only look at memory from a multiple of their element's size. */
function aligned(bytes: Uint8Array, elementBytes: number): Uint8Array {
  return bytes.byteOffset % elementBytes === 0 ? bytes : new Uint8Array(bytes);
}

function fromHalves(bytes: Uint8Array, count: number, toBits: (half: number) => number): Float32Array {
  const { buffer, byteOffset } = aligned(bytes, 2);
  const bits = Int32Array.from(new Uint16Array(buffer, byteOffset, count), toBits);
  return new Float32Array(bits.buffer);
}

/** IEEE 754 binary16 to the bits of the equal binary32: exponent bias 15 to 127, 10 digits to 23. */
function float16ToFloat32Bits(half: number): number {
  const sign = (half & 0x8000) << 16;
  const exponent = (half >> 10) & 0x1f;
  const fraction = half & 0x3ff;
  if (exponent === 0x1f) return sign | 0x7f80_0000 | (fraction << 13);
  if (exponent > 0) return sign | ((exponent + 112) << 23) | (fraction << 13);
  if (fraction === 0) return sign;
  // Below the smallest normal half every number is a multiple of 2^-24, and normal as a float32.
  const leading = 31 - Math.clz32(fraction);
  return sign | ((leading + 103) << 23) | ((fraction << (23 - leading)) & 0x7f_ffff);
}
