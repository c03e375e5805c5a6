import { constants, existsSync } from 'node:fs';
import { copyFile, mkdir, open, rename, rm } from 'node:fs/promises';
import { join } from 'node:path';
import { AppError, describeError, isSystemError } from '../../shared/errors.ts';
import { programsFolder } from '../slots/places.ts';

/*
 * The agent's database while a program is on trial: put aside before its first start, put back when the program
 * is given up and has brought the schema further than the one before understands. The launcher has no SQLite, on
 * purpose: it reads the version where the format of the file keeps it (https://sqlite.org/fileformat2.html).
 * All of it is done while no program runs.
 */

const DATABASE = 'agent.db';
const WAL = '-wal';

/** Where `PRAGMA user_version` stands in the first page: 4 bytes, big-endian. */
const USER_VERSION_OFFSET = 60;
const WAL_HEADER_BYTES = 32;
const FRAME_HEADER_BYTES = 24;

/** There is no database. */
const NONE = -1;

function asideFolder(stateDir: string): string {
  return join(programsFolder(stateDir), 'database-before');
}

/**
 * Copies the database, durably; what was put aside before is replaced.
 * @returns version of its schema; -1 when there is none
 * @throws AppError `system` when there is no room for it
 */
export async function putAside(stateDir: string): Promise<number> {
  const folder = asideFolder(stateDir);
  try {
    await rm(folder, { recursive: true, force: true });
    await mkdir(folder, { mode: 0o700 });
    for (const name of [DATABASE, DATABASE + WAL])
      await copyIfThere(join(stateDir, name), join(folder, name));
    await syncPath(folder);
    return await schemaOf(stateDir);
  } catch (cause) {
    throw new AppError('system', `the database cannot be put aside: ${describeError(cause)}`, { cause });
  }
}

/**
 * Puts the database back that was put aside; it needs no room on the disk. Again does no harm, also after a power cut
 * in the middle of it: what was moved already is no more in the folder.
 */
export async function putBack(stateDir: string): Promise<void> {
  const folder = asideFolder(stateDir);
  const path = join(stateDir, DATABASE);
  if (existsSync(join(folder, DATABASE))) {
    // First the log of the newer one: it must never be played into the older.
    for (const ending of [WAL, '-shm']) await rm(path + ending, { force: true });
    await syncPath(stateDir);
    await rename(join(folder, DATABASE), path);
    await syncPath(stateDir);
  }
  if (existsSync(join(folder, DATABASE + WAL))) await rename(join(folder, DATABASE + WAL), path + WAL);
  await syncPath(stateDir);
}

/** Removes what was put aside; what cannot be removed is only room on the disk, and is tried again. */
export async function dropAside(stateDir: string): Promise<void> {
  await rm(asideFolder(stateDir), { recursive: true, force: true }).catch(() => undefined);
}

/**
 * Version of the database's schema, `user_version`; -1 when there is no database.
 * Of a program that was killed it may stand in the write-ahead log only. The highest there counts, though it may not
 * have been committed: then the copy is put back without need, which costs what the trial has written.
 */
export async function schemaOf(stateDir: string): Promise<number> {
  const path = join(stateDir, DATABASE);
  const bytes = await readAt(path, USER_VERSION_OFFSET, 4);
  if (bytes === undefined) return NONE;
  const inFile = bytes.length < 4 ? 0 : bytes.readUInt32BE();
  return Math.max(inFile, await schemaInLog(path + WAL));
}

async function schemaInLog(path: string): Promise<number> {
  const header = await readAt(path, 0, WAL_HEADER_BYTES);
  if (header === undefined || header.length < WAL_HEADER_BYTES) return 0;
  const pageBytes = header.readUInt32BE(8);
  const salts = header.subarray(16, 24);
  // A power of two, by the format; anything else is no log.
  if (pageBytes < 512 || pageBytes > 65_536) return 0;
  let highest = 0;
  await using file = await open(path, 'r');
  const { size } = await file.stat();
  const frameBytes = FRAME_HEADER_BYTES + pageBytes;
  const head = Buffer.alloc(FRAME_HEADER_BYTES + USER_VERSION_OFFSET + 4);
  for (let at = WAL_HEADER_BYTES; at + frameBytes <= size; at += frameBytes) {
    await file.read(head, 0, head.length, at);
    // Frames of an earlier round of the log carry other salts.
    if (!head.subarray(8, 16).equals(salts)) break;
    if (head.readUInt32BE(0) === 1) {
      highest = Math.max(highest, head.readUInt32BE(FRAME_HEADER_BYTES + USER_VERSION_OFFSET));
    }
  }
  return highest;
}

/** @returns undefined when there is no such file; fewer bytes where it is shorter */
async function readAt(path: string, offset: number, count: number): Promise<Buffer | undefined> {
  try {
    await using file = await open(path, 'r');
    const { buffer, bytesRead } = await file.read(Buffer.alloc(count), 0, count, offset);
    return buffer.subarray(0, bytesRead);
  } catch (error) {
    if (isSystemError(error, 'ENOENT')) return undefined;
    throw error;
  }
}

async function copyIfThere(from: string, to: string): Promise<void> {
  if (!existsSync(from)) return;
  // Without a byte copied where the file system can.
  await copyFile(from, to, constants.COPYFILE_FICLONE);
  await syncPath(to);
}

async function syncPath(path: string): Promise<void> {
  await using handle = await open(path, 'r');
  await handle.sync();
}
