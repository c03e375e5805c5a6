/** What the writer of pickles can write: the values of a checkpoint, and instructions as they are. */
export type Picklable =
  | null
  | boolean
  | number
  | bigint
  | string
  | readonly Picklable[]
  | { readonly tuple: readonly Picklable[] }
  | { readonly dict: readonly (readonly [Picklable, Picklable])[] }
  | { readonly global: readonly [module: string, name: string] }
  | { readonly call: Picklable; readonly args: readonly Picklable[] }
  | { readonly persistent: Picklable }
  | { readonly raw: Uint8Array | readonly number[] };

const MARK = 0x28;
const STOP = 0x2e;

/** A pickle of protocol 2, as Python's pickler writes it but for the memo, which is not used. */
export function pickleOf(value: Picklable): Uint8Array {
  return Buffer.concat([bytes(0x80, 2), partOf(value), bytes(STOP)]);
}

/** The instructions that make one value, without the pickle around them. */
export function partOf(value: Picklable): Buffer {
  if (value === null) return bytes(0x4e);
  if (typeof value === 'boolean') return bytes(value ? 0x88 : 0x89);
  if (typeof value === 'number') return writtenNumber(value);
  if (typeof value === 'bigint') return writtenBigint(value);
  if (typeof value === 'string') {
    const text = Buffer.from(value);
    return Buffer.concat([bytes(0x58), u32(text.length), text]);
  }
  if ('raw' in value) return Buffer.from(value.raw);
  if ('tuple' in value) return sequence(value.tuple, [], [0x74]);
  if ('dict' in value) return sequence(value.dict.flat(), [0x7d], [0x75]);
  if ('global' in value) return Buffer.from(`c${value.global[0]}\n${value.global[1]}\n`);
  if ('call' in value) return Buffer.concat([partOf(value.call), partOf({ tuple: value.args }), bytes(0x52)]);
  if ('persistent' in value) return Buffer.concat([partOf(value.persistent), bytes(0x51)]);
  return sequence(value, [0x5d], [0x65]);
}

function sequence(items: readonly Picklable[], before: readonly number[], after: readonly number[]): Buffer {
  return Buffer.concat([Buffer.from([...before, MARK]), ...items.map(partOf), Buffer.from(after)]);
}

function writtenNumber(value: number): Buffer {
  if (Number.isInteger(value) && Math.abs(value) < 2 ** 31) {
    const packed = Buffer.alloc(5, 0x4a);
    packed.writeInt32LE(value, 1);
    return packed;
  }
  const packed = Buffer.alloc(9, 0x47);
  packed.writeDoubleBE(value, 1);
  return packed;
}

function writtenBigint(value: bigint): Buffer {
  const packed = Buffer.alloc(18);
  packed[0] = 0x8a;
  packed[1] = 16;
  packed.writeBigUInt64LE(BigInt.asUintN(64, value), 2);
  packed.writeBigInt64LE(value >> 64n, 10);
  return packed;
}

function bytes(...values: readonly number[]): Buffer {
  return Buffer.from(values);
}

function u32(value: number): Buffer {
  const packed = Buffer.alloc(4);
  packed.writeUInt32LE(value);
  return packed;
}
