import { AppError } from '../../shared/errors.ts';
import { type Checkpoint, quoted } from '../ofa/checkpoint.ts';
import { unpickle } from './pickle.ts';
import { stateDictOf, storageBytes } from './state-dict.ts';
import { type ZipEntries, zipEntries } from './zip.ts';

const PICKLE = /^[^/]+\/data\.pkl$/;

/**
 * Reads the form that torch.save has written since 1.6: a zip archive with the pickle `<name>/data.pkl` and
 * a file `<name>/data/<key>` for each storage.
 * @param what names the file in messages
 * @throws AppError `invalid` naming what does not fit
 */
export function parseTorchZip(bytes: Uint8Array, what: string): Checkpoint {
  const entries = zipEntries(bytes, what);
  const folder = folderOf(entries, what);
  const read = (path: string): Uint8Array | undefined => entries.get(`${folder}/${path}`);
  const order = read('byteorder');
  if (order !== undefined && Buffer.from(order).toString('latin1') !== 'little') {
    throw new AppError('invalid', `${what}: expected numbers in little-endian order`);
  }
  const { value, storages } = unpickle(read('data.pkl') ?? new Uint8Array(0), `${what}: data.pkl`);
  return stateDictOf(value, {
    what,
    copyLimit: bytes.length,
    bytesOf: (key) => {
      const data = read(`data/${key}`);
      const storage = storages.get(key);
      const expected = storage === undefined ? 0 : storageBytes(storage);
      if (data?.length === expected) return data;
      const found = data === undefined ? 'no such entry' : `${data.length} bytes`;
      throw new AppError(
        'invalid',
        `${what}: storage ${quoted(key)}: expected ${expected} bytes, found ${found}`,
      );
    },
  });
}

/** The folder that everything is in has the name that the file had when it was written. */
function folderOf(entries: ZipEntries, what: string): string {
  const pickles = [...entries.keys()].filter((name) => PICKLE.test(name));
  const [first] = pickles;
  if (first === undefined || pickles.length > 1) {
    throw new AppError(
      'invalid',
      `${what}: expected a zip archive with one data.pkl, as torch.save writes it`,
    );
  }
  return first.slice(0, first.indexOf('/'));
}
