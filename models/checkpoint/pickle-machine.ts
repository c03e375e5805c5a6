import { quoted } from '../ofa/checkpoint.ts';
import type { ByteReader } from './byte-reader.ts';
import { isKind, type PickledStorage, type PickleKey, type PickleValue } from './pickle-values.ts';
import { storageOf } from './torch-objects.ts';

const MAX_STRING_BYTES = 1024 * 1024;
const MAX_NAME_BYTES = 512;
const NEWLINE = 0x0a;

/** State of the stack machine that a pickle is a program for. */
export interface Machine {
  readonly reader: ByteReader;
  readonly stack: PickleValue[];
  /** Heights of the stack where open sequences begin. */
  readonly marks: number[];
  readonly memo: Map<number, PickleValue>;
  /** Every storage that the pickle has named, by its key. */
  readonly storages: Map<string, PickledStorage>;
}

/** Takes the uppermost value; refused where there is none above the last mark. */
export function pop({ stack, marks, reader }: Machine): PickleValue {
  const value = stack.length > (marks.at(-1) ?? 0) ? stack.pop() : undefined;
  if (value === undefined) throw reader.problem('the pickle takes a value that it has not made');
  return value;
}

/** The uppermost value, which stays. */
export function top(machine: Machine): PickleValue {
  const value = pop(machine);
  machine.stack.push(value);
  return value;
}

/** Takes everything above the last mark, and the mark. */
export function popToMark({ stack, marks, reader }: Machine): PickleValue[] {
  const height = marks.pop();
  if (height === undefined) throw reader.problem('the pickle ends a sequence that it has not begun');
  return stack.splice(height);
}

/** Pushes a tuple of the uppermost values. */
export function pushTuple(machine: Machine, count: number): void {
  const items = Array.from({ length: count }, () => pop(machine)).reverse();
  machine.stack.push({ kind: 'tuple', items });
}

/** Remembers the uppermost value under a number. */
export function remember(machine: Machine, index: number): void {
  machine.memo.set(index, top(machine));
}

/** Pushes a remembered value again. */
export function recall({ memo, stack, reader }: Machine, index: number): void {
  const value = memo.get(index);
  if (value === undefined)
    throw reader.problem(`the pickle asks for its value ${index}, which it has not made`);
  stack.push(value);
}

/** Adds values to the list below them. */
export function append(machine: Machine, items: readonly PickleValue[]): void {
  const list = top(machine);
  if (!isKind(list, 'list')) throw machine.reader.problem('the pickle adds to something that is not a list');
  for (const item of items) list.items.push(item);
}

/** Puts keys and values, one after the other, into the dictionary below them. */
export function setItems(machine: Machine, items: readonly PickleValue[]): void {
  const dict = top(machine);
  if (!isKind(dict, 'dict'))
    throw machine.reader.problem('the pickle fills something that is not a dictionary');
  if (items.length % 2 !== 0) throw machine.reader.problem('the pickle has a key without a value');
  for (let index = 0; index < items.length; index += 2) {
    dict.entries.set(keyOf(items[index], machine.reader), items[index + 1] ?? null);
  }
}

function keyOf(value: PickleValue | undefined, reader: ByteReader): PickleKey {
  if (value !== undefined && (value === null || typeof value !== 'object')) return value;
  throw reader.problem('the pickle has a key that is neither a string nor a number');
}

/** Attributes of an OrderedDict (torch has `_metadata` there) are dropped; nothing else has any. */
export function dropAttributes(machine: Machine): void {
  pop(machine);
  const target = top(machine);
  if (isKind(target, 'dict') && target.ordered) return;
  throw machine.reader.problem('the pickle sets attributes of something that is not an OrderedDict');
}

/** Takes a persistent id and pushes the storage that it stands for. */
export function pushStorage(machine: Machine): void {
  const storage = storageOf(pop(machine), machine.reader.problem);
  const known = machine.storages.get(storage.key) ?? storage;
  if (known.dtype !== storage.dtype || known.count !== storage.count) {
    throw machine.reader.problem(`storage ${quoted(storage.key)} is named with two types or sizes`);
  }
  machine.storages.set(storage.key, known);
  machine.stack.push(known);
}

/** An integer of any length in two's complement, little-endian. */
export function integer(reader: ByteReader): number | bigint {
  const bytes = reader.take(reader.u8());
  let value = 0n;
  for (const byte of bytes.toReversed()) value = (value << 8n) | BigInt(byte);
  const signed = BigInt.asIntN(8 * bytes.length, value);
  const number = Number(signed);
  return Number.isSafeInteger(number) ? number : signed;
}

/** A string of so many bytes of UTF-8 (Python 2 wrote ASCII). */
export function string(reader: ByteReader, length: number): string {
  if (length > MAX_STRING_BYTES) {
    throw reader.problem(`a string of ${length} bytes, expected at most ${MAX_STRING_BYTES}`);
  }
  const bytes = reader.take(length);
  try {
    return new TextDecoder('utf-8', { fatal: true, ignoreBOM: true }).decode(bytes);
  } catch {
    throw reader.problem('a string that is not UTF-8');
  }
}

/** A name that ends with its line. */
export function line(reader: ByteReader): string {
  const characters: number[] = [];
  for (let byte = reader.u8(); byte !== NEWLINE; byte = reader.u8()) {
    if (characters.length === MAX_NAME_BYTES) throw reader.problem('the pickle has an endless name');
    characters.push(byte);
  }
  return String.fromCharCode(...characters);
}
