import { closeSync, openSync, readSync } from 'node:fs';
import { readFile, stat } from 'node:fs/promises';
import { join } from 'node:path';
import { setImmediate as nextTurn } from 'node:timers/promises';
import { crc32 } from 'node:zlib';
import Type, { type Static } from 'typebox';
import { AppError, isSystemError } from '../../shared/errors.ts';
import { writeAtomic } from '../../shared/files.ts';
import { parseJson, parserOf } from '../../shared/schema.ts';

/** Raised whenever other files would be made of the same models. */
export const LEAN_FORMAT = 2;

/** Tells what a folder of lean models holds; written last, so that a folder without it is nothing. */
const CONTENTS_FILE = 'lean.json';
const MAX_CONTENTS_BYTES = 1024 * 1024;

/** Read at once when a file is checked. */
const CHUNK_BYTES = 256 * 1024;

const LeanContentsSchema = Type.Object({
  format: Type.Literal(LEAN_FORMAT),
  /** Of every model that was looked at: the name of its lean file, or null where the portable one is better. */
  models: Type.Array(
    Type.Object({
      sha256: Type.String({ pattern: '^[0-9a-f]{64}$' }),
      file: Type.Union([Type.String(), Type.Null()]),
    }),
    { maxItems: 1_024 },
  ),
  /**
   * Files as they were written, and when. One that has not been touched since is taken for whole; of others
   * CRC-32 tells. Nobody forges these files.
   */
  files: Type.Array(
    Type.Object({
      name: Type.String({ pattern: '^[0-9a-z.]+$', maxLength: 128 }),
      bytes: Type.Integer({ minimum: 0 }),
      modifiedMs: Type.Number({ minimum: 0 }),
      crc32: Type.Integer({ minimum: 0 }),
    }),
    { maxItems: 1_025 },
  ),
});
export type LeanContents = Static<typeof LeanContentsSchema>;

const parseContents = parserOf(LeanContentsSchema);

/**
 * Reads what a folder of lean models holds and checks it: every byte of what was touched since it was written.
 * @returns undefined when there is no such folder, or it was never finished
 * @throws AppError `invalid` naming the file that is damaged
 */
export async function readLean(folder: string): Promise<LeanContents | undefined> {
  const path = join(folder, CONTENTS_FILE);
  let text: string;
  try {
    text = await readBounded(path);
  } catch (error) {
    if (isSystemError(error, 'ENOENT')) return undefined;
    throw error;
  }
  const contents = parseJson(text, parseContents, path);
  for (const file of contents.files) await checkFile(join(folder, file.name), file);
  return contents;
}

/** Finishes a folder of lean models: from now on it is one. */
export async function writeLean(
  folder: string,
  models: LeanContents['models'],
  names: readonly string[],
): Promise<void> {
  const files: LeanContents['files'] = [];
  for (const name of names) {
    const path = join(folder, name);
    const { size: bytes, mtimeMs: modifiedMs } = await stat(path);
    files.push({ name, bytes, modifiedMs, crc32: await crc32OfFile(path) });
  }
  const contents: LeanContents = { format: LEAN_FORMAT, models, files };
  await writeAtomic(join(folder, CONTENTS_FILE), JSON.stringify(contents));
}

async function readBounded(path: string): Promise<string> {
  const { size } = await stat(path);
  if (size > MAX_CONTENTS_BYTES) throw new AppError('invalid', `${path}: ${size} bytes, it is damaged`);
  return await readFile(path, 'utf8');
}

async function checkFile(path: string, expected: LeanContents['files'][number]): Promise<void> {
  const found = await stat(path).catch((cause: unknown) => {
    throw new AppError('invalid', `${path}: it is missing`, { cause });
  });
  if (found.size !== expected.bytes) {
    throw new AppError('invalid', `${path}: ${found.size} bytes, expected ${expected.bytes}: it is damaged`);
  }
  if (found.mtimeMs === expected.modifiedMs) return;
  if ((await crc32OfFile(path)) !== expected.crc32) {
    throw new AppError('invalid', `${path}: its checksum does not fit: it is damaged`);
  }
}

/**
 * Read in place, a tenth of a millisecond at a time: a thread of the pool would be woken for each chunk, which
 * on a busy machine takes longer than the reading.
 */
async function crc32OfFile(path: string): Promise<number> {
  const file = openSync(path, 'r');
  try {
    const chunk = Buffer.alloc(CHUNK_BYTES);
    let checksum = 0;
    for (;;) {
      const length = readSync(file, chunk);
      if (length === 0) return checksum;
      checksum = crc32(chunk.subarray(0, length), checksum);
      await nextTurn();
    }
  } finally {
    closeSync(file);
  }
}
