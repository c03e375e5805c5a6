import { AppError } from '../../shared/errors.ts';
import { type Checkpoint, quoted } from '../ofa/checkpoint.ts';
import { byteReader } from './byte-reader.ts';
import { unpickle } from './pickle.ts';
import { isKind, type PickledStorage, type PickleValue } from './pickle-values.ts';
import { stateDictOf, storageBytes } from './state-dict.ts';

const MAGIC = 0x1950a86a20f9469cfc6cn;
/** That number as an instruction of a pickle; before it is the protocol, and a frame where that is 4. */
const MAGIC_INSTRUCTION = Buffer.from('8a0a6cfc9c46f9206aa85019', 'hex');
const PICKLE_START = 0x80;
const LONGEST_START = 11;
const PROTOCOL = 1_001;

/** Whether a file is in the form that torch.save wrote before 1.6, and still does where it is told to. */
export function isTorchLegacy(bytes: Uint8Array): boolean {
  const start = Buffer.from(bytes.subarray(0, LONGEST_START + MAGIC_INSTRUCTION.length));
  return start[0] === PICKLE_START && start.includes(MAGIC_INSTRUCTION);
}

/**
 * Reads torch's old form: pickles of a magic number, the protocol, the machine, the object and the keys of
 * its storages; then each storage as a little-endian int64 with the number of elements, and the elements.
 * @param what names the file in messages
 * @throws AppError `invalid` naming what does not fit
 */
export function parseTorchLegacy(bytes: Uint8Array, what: string): Checkpoint {
  const magic = unpickle(bytes, what);
  const protocol = unpickle(bytes, what, magic.end);
  const system = unpickle(bytes, what, protocol.end);
  checkSystem(magic.value, protocol.value, system.value, what);
  const object = unpickle(bytes, what, system.end);
  const keys = unpickle(bytes, what, object.end);
  const data = readStorages(bytes, { what, start: keys.end, keys: keys.value, storages: object.storages });
  return stateDictOf(object.value, {
    what,
    copyLimit: bytes.length,
    bytesOf: (key) => {
      const found = data.get(key);
      if (found === undefined) throw new AppError('invalid', `${what}: there is no storage ${quoted(key)}`);
      return found;
    },
  });
}

function checkSystem(magic: PickleValue, protocol: PickleValue, system: PickleValue, what: string): void {
  if (magic !== MAGIC || protocol !== PROTOCOL) {
    throw new AppError('invalid', `${what}: expected protocol ${PROTOCOL} of torch's old form`);
  }
  if (!isKind(system, 'dict') || system.entries.get('little_endian') !== true) {
    throw new AppError('invalid', `${what}: expected numbers in little-endian order`);
  }
}

function readStorages(
  bytes: Uint8Array,
  file: { what: string; start: number; keys: PickleValue; storages: ReadonlyMap<string, PickledStorage> },
): ReadonlyMap<string, Uint8Array> {
  const { keys, storages, what, start } = file;
  if (!isKind(keys, 'list')) throw new AppError('invalid', `${what}: expected a list of storages`);
  const reader = byteReader(bytes, what, start);
  const data = new Map<string, Uint8Array>();
  for (const key of keys.items) {
    const storage = typeof key === 'string' && !data.has(key) ? storages.get(key) : undefined;
    if (storage === undefined) throw reader.problem('a storage that no tensor has, or a second time');
    const count = reader.u64();
    if (count !== storage.count) {
      throw reader.problem(`storage ${quoted(storage.key)} has ${count} elements, expected ${storage.count}`);
    }
    data.set(storage.key, reader.take(storageBytes(storage)));
  }
  if (reader.remaining() > 0)
    throw reader.problem(`${reader.remaining()} bytes too many behind the storages`);
  return data;
}
