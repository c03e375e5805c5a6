import { crc32 } from 'node:zlib';
import { type Picklable, pickleOf } from './pickle.ts';

/** A tensor as torch.save writes it: a view of a storage. */
export interface TorchTensor {
  readonly storage: string;
  readonly type?: string;
  /** Elements that the storage is said to have. */
  readonly count: number;
  readonly offset?: Picklable;
  readonly shape: readonly Picklable[];
  readonly strides: readonly Picklable[];
}

/** The storages of a file, by their keys. */
type Storages = Readonly<Record<string, Uint8Array>>;

/** The call in a pickle that makes the tensor. */
export function tensorCall(tensor: TorchTensor): Picklable {
  const { storage, type = 'FloatStorage', count, offset = 0, shape, strides } = tensor;
  const id = ['storage', { global: ['torch', type] }, storage, 'cpu', count] as const;
  const hooks: Picklable = { call: { global: ['collections', 'OrderedDict'] }, args: [] };
  return {
    call: { global: ['torch._utils', '_rebuild_tensor_v2'] },
    args: [{ persistent: { tuple: id } }, offset, { tuple: shape }, { tuple: strides }, false, hooks],
  };
}

/** A file in torch's zip form. */
export function torchZip(object: Picklable, storages: Storages): Uint8Array {
  const data = Object.entries(storages).map(([key, bytes]): [string, Uint8Array] => [
    `net/data/${key}`,
    bytes,
  ]);
  return zipOf([['net/data.pkl', pickleOf(object)], ['net/byteorder', Buffer.from('little')], ...data]);
}

/** A file in torch's old form. */
export function torchLegacy(
  object: Picklable,
  storages: Storages,
  counts: Readonly<Record<string, number>>,
): Uint8Array {
  const system: Picklable = {
    dict: [
      ['protocol_version', 1_001],
      ['little_endian', true],
    ],
  };
  const magic = [0x80, 2, 0x8a, 0x0a, 0x6c, 0xfc, 0x9c, 0x46, 0xf9, 0x20, 0x6a, 0xa8, 0x50, 0x19, 0x2e];
  const parts = [Buffer.from(magic), pickleOf(1_001), pickleOf(system), pickleOf(object)];
  const data = Object.entries(storages).flatMap(([key, bytes]) => {
    const count = Buffer.alloc(8);
    count.writeBigInt64LE(BigInt(counts[key] ?? 0));
    return [count, bytes];
  });
  return Buffer.concat([...parts, pickleOf(Object.keys(storages)), ...data]);
}

/** What may be other than right in an entry of an archive. */
interface ZipEntryOptions {
  readonly method?: number;
  readonly flags?: number;
  readonly crc?: number;
  /** Place of the local header, where the directory is not to say the truth. */
  readonly start?: number;
  readonly size?: number;
  readonly localName?: string;
}

/** A zip archive of stored files; as in torch's, the sizes are in the directory only. */
export function zipOf(
  files: readonly (readonly [name: string, bytes: Uint8Array, options?: ZipEntryOptions])[],
): Uint8Array {
  const locals: Buffer[] = [];
  const directory: Buffer[] = [];
  let offset = 0;
  for (const [name, bytes, options = {}] of files) {
    const local = Buffer.concat([localHeader(options.localName ?? name), bytes]);
    directory.push(directoryEntry(name, bytes, { start: offset, ...options }));
    locals.push(local);
    offset += local.length;
  }
  const entries = Buffer.concat(directory);
  const end = Buffer.alloc(22);
  end.write('PK\x05\x06', 'latin1');
  end.writeUInt16LE(files.length, 8);
  end.writeUInt16LE(files.length, 10);
  end.writeUInt32LE(entries.length, 12);
  end.writeUInt32LE(offset, 16);
  return Buffer.concat([...locals, entries, end]);
}

function localHeader(name: string): Buffer {
  const header = Buffer.alloc(30);
  header.write('PK\x03\x04', 'latin1');
  header.writeUInt16LE(0x0808, 6);
  header.writeUInt16LE(name.length, 26);
  return Buffer.concat([header, Buffer.from(name)]);
}

function directoryEntry(
  name: string,
  bytes: Uint8Array,
  options: ZipEntryOptions & { start: number },
): Buffer {
  const { method = 0, flags = 0x0808, crc = crc32(bytes), start, size = bytes.length } = options;
  const entry = Buffer.alloc(46);
  entry.write('PK\x01\x02', 'latin1');
  entry.writeUInt16LE(flags, 8);
  entry.writeUInt16LE(method, 10);
  entry.writeUInt32LE(crc, 16);
  entry.writeUInt32LE(size, 20);
  entry.writeUInt32LE(size, 24);
  entry.writeUInt16LE(name.length, 28);
  entry.writeUInt32LE(start, 42);
  return Buffer.concat([entry, Buffer.from(name)]);
}
