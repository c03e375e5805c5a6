import { crc32 } from 'node:zlib';
import { AppError } from '../../shared/errors.ts';
import { quoted } from '../ofa/checkpoint.ts';
import { type ByteReader, byteReader } from './byte-reader.ts';

const END_SIGNATURE = 0x0605_4b50;
const END_BYTES = 22;
const MAX_COMMENT_BYTES = 0xffff;
const ENTRY_SIGNATURE = 0x0201_4b50;
const LOCAL_SIGNATURE = 0x0403_4b50;
const LOCAL_BYTES = 30;
/** Stands where the real number is in a zip64 record. */
const IN_ZIP64 = 0xffff_ffff;
const ENCRYPTED = 1;

/** An archive's files by their names, in the archive's memory. */
export type ZipEntries = ReadonlyMap<string, Uint8Array>;

interface Entry {
  readonly name: string;
  readonly crc: number;
  readonly size: number;
  /** Places of the local header and of the data behind it. */
  readonly localStart: number;
  readonly start: number;
}

/**
 * The files of a zip archive of the kind that torch.save writes: stored, not compressed, each in its own
 * place. Sizes are those of the central directory; the local headers need not have them.
 * @param what names the archive in messages
 * @throws AppError `invalid` for an archive that is damaged, compressed, encrypted or over 4 GiB
 */
export function zipEntries(bytes: Uint8Array, what: string): ZipEntries {
  const directory = findDirectory(bytes, what);
  const reader = byteReader(bytes, what, directory.start);
  const entries = new Map<string, Entry>();
  for (let index = 0; index < directory.count; index += 1) {
    const entry = readEntry(reader, bytes, directory.start, what);
    if (entries.has(entry.name)) throw reader.problem(`the archive has ${quoted(entry.name)} twice`);
    entries.set(entry.name, entry);
  }
  if (reader.position() !== directory.end)
    throw reader.problem('the archive has a directory of another size');
  checkOverlaps([...entries.values()], what);
  return new Map([...entries.values()].map((entry) => [entry.name, contentOf(bytes, entry, what)]));
}

/** From the record at the very end, behind which there is only a comment. */
function findDirectory(bytes: Uint8Array, what: string): { start: number; end: number; count: number } {
  const lowest = Math.max(0, bytes.length - END_BYTES - MAX_COMMENT_BYTES);
  const view = new DataView(bytes.buffer, bytes.byteOffset, bytes.byteLength);
  for (let place = bytes.length - END_BYTES; place >= lowest; place -= 1) {
    if (view.getUint32(place, true) !== END_SIGNATURE) continue;
    if (view.getUint16(place + 20, true) !== bytes.length - place - END_BYTES) continue;
    const count = view.getUint16(place + 10, true);
    const size = view.getUint32(place + 12, true);
    const start = view.getUint32(place + 16, true);
    if (start + size > place || count === 0xffff) {
      throw new AppError('invalid', `${what}: the archive's directory lies outside of the file, or is zip64`);
    }
    return { start, end: start + size, count };
  }
  throw new AppError('invalid', `${what}: cut short: the zip archive has no end record`);
}

function readEntry(reader: ByteReader, bytes: Uint8Array, limit: number, what: string): Entry {
  if (reader.u32() !== ENTRY_SIGNATURE) throw reader.problem('expected an entry of the archive');
  reader.take(4); // versions
  const flags = reader.u16();
  const method = reader.u16();
  reader.take(4); // time and date
  const crc = reader.u32();
  const packedSize = reader.u32();
  const size = reader.u32();
  const nameLength = reader.u16();
  const tailLength = reader.u16() + reader.u16();
  reader.take(8); // disk and attributes
  const localStart = reader.u32();
  const name = Buffer.from(reader.take(nameLength)).toString('utf8');
  reader.take(tailLength);
  if ([packedSize, size, localStart].includes(IN_ZIP64))
    throw reader.problem('archives over 4 GiB are not read');
  if ((flags & ENCRYPTED) !== 0 || method !== 0 || packedSize !== size) {
    throw reader.problem(`${quoted(name)} is compressed or encrypted; torch.save only stores`);
  }
  const start = dataStart(bytes, localStart, name, what);
  if (start + size > limit) throw reader.problem(`${quoted(name)} lies outside of the archive`);
  return { name, crc, size, localStart, start };
}

/** Behind the local header, whose name must be the same: else another program would read another file. */
function dataStart(bytes: Uint8Array, localStart: number, name: string, what: string): number {
  const local = byteReader(bytes, what, localStart);
  const signature = local.u32();
  local.take(LOCAL_BYTES - 8);
  const nameLength = local.u16();
  const extraLength = local.u16();
  if (signature !== LOCAL_SIGNATURE || Buffer.from(local.take(nameLength)).toString('utf8') !== name) {
    throw local.problem(`${quoted(name)} is not where the archive's directory says`);
  }
  local.take(extraLength);
  return local.position();
}

/** Files in each other's place are how a small archive pretends to be a large one. */
function checkOverlaps(entries: readonly Entry[], what: string): void {
  let end = 0;
  for (const { name, localStart, start, size } of entries.toSorted((a, b) => a.localStart - b.localStart)) {
    if (localStart < end) throw new AppError('invalid', `${what}: ${quoted(name)} overlaps another entry`);
    end = start + size;
  }
}

function contentOf(bytes: Uint8Array, { name, start, size, crc }: Entry, what: string): Uint8Array {
  const content = bytes.subarray(start, start + size);
  if (crc32(content) === crc) return content;
  throw new AppError('invalid', `${what}: ${quoted(name)} is damaged: its CRC-32 is not the one stated`);
}
