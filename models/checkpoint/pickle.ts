import { type ByteReader, byteReader } from './byte-reader.ts';
import {
  append,
  dropAttributes,
  integer,
  line,
  type Machine,
  pop,
  popToMark,
  pushStorage,
  pushTuple,
  recall,
  remember,
  setItems,
  string,
} from './pickle-machine.ts';
import type { PickledStorage, PickleValue } from './pickle-values.ts';
import { allowedGlobal, callAllowed, ONLY_DATA } from './torch-objects.ts';

/** A super-network takes some 20,000; each makes at most one small object, so this bounds the memory too. */
const MAX_INSTRUCTIONS = 1_000_000;
const PROTOCOLS = [2, 3, 4, 5];
const STOP = 0x2e;

/** What a pickle holds, the storages that its tensors lie in by their keys, and the place behind it. */
export interface Unpickled {
  readonly value: PickleValue;
  readonly storages: ReadonlyMap<string, PickledStorage>;
  readonly end: number;
}

/**
 * Reads one pickle of those that torch.save writes (protocols 2 to 5). A pickle is a program for a small
 * stack machine; this machine has only the instructions that make plain data and tensors, so that no file
 * can run anything.
 * @param what names the file in messages
 * @param start place of its first byte
 * @throws AppError `invalid` for anything that is not plain data or a tensor, naming what was found
 */
export function unpickle(bytes: Uint8Array, what: string, start = 0): Unpickled {
  const reader = byteReader(bytes, what, start);
  const machine: Machine = { reader, stack: [], marks: [], memo: new Map(), storages: new Map() };
  for (let count = 0; count < MAX_INSTRUCTIONS; count += 1) {
    const code = reader.u8();
    if (code === STOP) return result(machine);
    const instruction = INSTRUCTIONS.get(code);
    if (instruction === undefined) throw refusal(code, reader);
    instruction(machine);
  }
  throw reader.problem(`the pickle has more than ${MAX_INSTRUCTIONS} instructions`);
}

function result(machine: Machine): Unpickled {
  const { storages, reader, stack } = machine;
  const value = pop(machine);
  if (stack.length > 0) throw reader.problem('the pickle leaves more than one value');
  return { value, storages, end: reader.position() };
}

/** INST, OBJ, NEWOBJ, NEWOBJ_EX and EXT1, 2, 4: they make objects of any class. */
const OBJECT_MAKERS: ReadonlySet<number> = new Set([0x69, 0x6f, 0x81, 0x92, 0x82, 0x83, 0x84]);

function refusal(code: number, reader: ByteReader): Error {
  const name = `0x${code.toString(16).padStart(2, '0')}`;
  const purpose = OBJECT_MAKERS.has(code) ? ', which makes objects of any class' : '';
  return reader.problem(`the pickle has the instruction ${name}${purpose}: ${ONLY_DATA}`);
}

type Instruction = (machine: Machine) => void;

/** The instructions by their codes; the names are those of Python's pickletools. */
const INSTRUCTIONS: ReadonlyMap<number, Instruction> = new Map<number, Instruction>([
  [0x80, proto],
  [0x95, frame],
  [0x28, ({ marks, stack }) => void marks.push(stack.length)], // MARK
  // Plain values
  [0x4e, ({ stack }) => void stack.push(null)], // NONE
  [0x88, ({ stack }) => void stack.push(true)], // NEWTRUE
  [0x89, ({ stack }) => void stack.push(false)], // NEWFALSE
  [0x4a, ({ stack, reader }) => void stack.push(reader.i32())], // BININT
  [0x4b, ({ stack, reader }) => void stack.push(reader.u8())], // BININT1
  [0x4d, ({ stack, reader }) => void stack.push(reader.u16())], // BININT2
  [0x8a, ({ stack, reader }) => void stack.push(integer(reader))], // LONG1
  [0x47, ({ stack, reader }) => void stack.push(reader.f64BigEndian())], // BINFLOAT
  [0x58, ({ stack, reader }) => void stack.push(string(reader, reader.u32()))], // BINUNICODE
  [0x8c, ({ stack, reader }) => void stack.push(string(reader, reader.u8()))], // SHORT_BINUNICODE
  [0x8d, ({ stack, reader }) => void stack.push(string(reader, reader.u64()))], // BINUNICODE8
  [0x54, ({ stack, reader }) => void stack.push(string(reader, reader.u32()))], // BINSTRING
  [0x55, ({ stack, reader }) => void stack.push(string(reader, reader.u8()))], // SHORT_BINSTRING
  [0x42, ({ stack, reader }) => void stack.push(reader.take(reader.u32()))], // BINBYTES
  [0x43, ({ stack, reader }) => void stack.push(reader.take(reader.u8()))], // SHORT_BINBYTES
  [0x8e, ({ stack, reader }) => void stack.push(reader.take(reader.u64()))], // BINBYTES8
  [0x96, ({ stack, reader }) => void stack.push(reader.take(reader.u64()))], // BYTEARRAY8
  // Lists, tuples and dictionaries
  [0x5d, ({ stack }) => void stack.push({ kind: 'list', items: [] })], // EMPTY_LIST
  [0x29, ({ stack }) => void stack.push({ kind: 'tuple', items: [] })], // EMPTY_TUPLE
  [0x7d, ({ stack }) => void stack.push({ kind: 'dict', ordered: false, entries: new Map() })], // EMPTY_DICT
  [0x85, (machine) => pushTuple(machine, 1)], // TUPLE1
  [0x86, (machine) => pushTuple(machine, 2)], // TUPLE2
  [0x87, (machine) => pushTuple(machine, 3)], // TUPLE3
  [0x74, (machine) => void machine.stack.push({ kind: 'tuple', items: popToMark(machine) })], // TUPLE
  [0x61, (machine) => append(machine, [pop(machine)])], // APPEND
  [0x65, (machine) => append(machine, popToMark(machine))], // APPENDS
  [0x73, (machine) => setItems(machine, [pop(machine), pop(machine)].reverse())], // SETITEM
  [0x75, (machine) => setItems(machine, popToMark(machine))], // SETITEMS
  // Values that come again
  [0x71, (machine) => remember(machine, machine.reader.u8())], // BINPUT
  [0x72, (machine) => remember(machine, machine.reader.u32())], // LONG_BINPUT
  [0x94, (machine) => remember(machine, machine.memo.size)], // MEMOIZE
  [0x68, (machine) => recall(machine, machine.reader.u8())], // BINGET
  [0x6a, (machine) => recall(machine, machine.reader.u32())], // LONG_BINGET
  // Classes and functions
  [0x63, global],
  [0x93, stackGlobal],
  [0x52, reduce],
  [0x62, dropAttributes], // BUILD
  [0x51, pushStorage], // BINPERSID
]);

function proto({ reader }: Machine): void {
  const version = reader.u8();
  if (PROTOCOLS.includes(version)) return;
  throw reader.problem(`pickle protocol ${version}, expected one of ${PROTOCOLS.join(', ')}`);
}

/** The length is for readers of streams; only its truth is of interest here. */
function frame({ reader }: Machine): void {
  const length = reader.u64();
  if (length > reader.remaining()) {
    throw reader.problem(`cut short: a frame of ${length} bytes, found ${reader.remaining()}`);
  }
}

function global({ reader, stack }: Machine): void {
  const module = line(reader);
  stack.push(allowedGlobal(module, line(reader), reader.problem));
}

function stackGlobal(machine: Machine): void {
  const { reader, stack } = machine;
  const name = pop(machine);
  const module = pop(machine);
  if (typeof module !== 'string' || typeof name !== 'string') throw reader.problem('a class without a name');
  stack.push(allowedGlobal(module, name, reader.problem));
}

function reduce(machine: Machine): void {
  const args = pop(machine);
  machine.stack.push(callAllowed(pop(machine), args, machine.reader.problem));
}
