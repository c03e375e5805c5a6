import { existsSync } from 'node:fs';
import { open } from 'node:fs/promises';
import Database from 'better-sqlite3';
import { AppError, describeError, isSystemError } from './errors.ts';

export type Sqlite = Database.Database;
export type Statement = Database.Statement;

export interface OpenOptions {
  /** Numbered steps of the schema: step `i` brings a database of `user_version` i to i + 1. */
  readonly migrations: readonly string[];
  /** Only this process may have the file open; another one is refused at once. */
  readonly exclusive?: boolean;
  /** What is committed survives a power cut too: for data that others forget once it is said to be stored. */
  readonly durable?: boolean;
}

/**
 * Opens a database file, or makes it: write-ahead log, bounded, schema brought up to date. A killed process
 * loses nothing; a power cut may lose the last transactions unless it is `durable`, never the file.
 * @throws AppError `conflict` when another process holds it, `config` when it was written by a newer version
 */
export function openSqlite(path: string, options: OpenOptions): Sqlite {
  let database: Sqlite | undefined;
  try {
    database = new Database(path, { timeout: options.exclusive === true ? 0 : 5_000 });
    if (options.exclusive === true) database.pragma('locking_mode = EXCLUSIVE');
    database.pragma('journal_mode = WAL');
    database.pragma(`synchronous = ${options.durable === true ? 'FULL' : 'NORMAL'}`);
    database.pragma(`journal_size_limit = ${16 * 1024 * 1024}`);
    migrate(database, path, options.migrations);
    return database;
  } catch (error) {
    database?.close();
    throw translate(error, path);
  }
}

/** Opens a database file that another program wrote, to read it; undefined when there is none. */
export function openSqliteReadOnly(path: string): Sqlite | undefined {
  if (!existsSync(path)) return undefined;
  try {
    return new Database(path, { readonly: true, fileMustExist: true, timeout: 1_000 });
  } catch (error) {
    throw translate(error, path);
  }
}

/**
 * Opens a database file of any version for this process alone, and changes nothing: to look at it while no
 * program has it open; undefined when there is none.
 * @throws AppError `conflict` when another process has it open, `config` when it is no database
 */
export function holdSqlite(path: string): Sqlite | undefined {
  if (!existsSync(path)) return undefined;
  let database: Sqlite | undefined;
  try {
    database = new Database(path, { fileMustExist: true, timeout: 0 });
    database.pragma('locking_mode = EXCLUSIVE');
    // The lock is taken with the first transaction, and kept.
    database.exec('BEGIN EXCLUSIVE; COMMIT');
    return database;
  } catch (error) {
    database?.close();
    throw translate(error, path);
  }
}

/** Pages that are copied at once: what else the thread has to do waits for about a millisecond. */
const COPY_PAGES = 256;

/**
 * Copies a database while it is in use to a new file, as it was at one moment, durably. What is written
 * meanwhile through this connection is in the copy; other connections' writes are not when this one has a
 * read transaction open, and would start the copying anew when it has none.
 * @throws AppError `system` when it cannot be written; the file is then incomplete
 */
export async function copySqlite(source: Sqlite, path: string): Promise<void> {
  try {
    await source.backup(path, { progress: () => COPY_PAGES });
    // One file, which can be read where nothing can be written.
    const copy = new Database(path, { fileMustExist: true });
    try {
      copy.pragma('journal_mode = DELETE');
    } finally {
      copy.close();
    }
    await using file = await open(path, 'r+');
    await file.chmod(0o600);
    await file.sync();
  } catch (cause) {
    throw new AppError('system', `${path}: the copy of the database cannot be written`, { cause });
  }
}

/**
 * What SQLite itself finds wrong with a database file; empty when it is sound.
 * @param isDeep whether indices are compared with their tables too, which takes several times as long
 */
export function problemsOfSqlite(database: Sqlite, isDeep: boolean): string[] {
  const check = isDeep ? 'integrity_check' : 'quick_check';
  try {
    const found = database.prepare<[], string>(`PRAGMA ${check}(20)`).pluck().all();
    return found.filter((text) => text !== 'ok');
  } catch (error) {
    return [describeError(error)];
  }
}

function migrate(database: Sqlite, path: string, migrations: readonly string[]): void {
  const version = Number(database.pragma('user_version', { simple: true }));
  if (version > migrations.length) {
    throw new AppError(
      'config',
      `${path}: written by a newer version of ofa-fleet (schema ${version}); upgrade first`,
    );
  }
  database
    .transaction(() => {
      for (const step of migrations.slice(version)) database.exec(step);
      database.pragma(`user_version = ${migrations.length}`);
    })
    .exclusive();
}

function translate(error: unknown, path: string): unknown {
  if (error instanceof AppError) return error;
  if (isSystemError(error, 'SQLITE_BUSY')) {
    return new AppError('conflict', `${path}: another process has it open; stop that one first`, {
      cause: error,
    });
  }
  if (isSystemError(error, 'SQLITE_NOTADB')) {
    return new AppError('config', `${path}: not a database; move it away`, { cause: error });
  }
  return new AppError('system', `${path}: cannot be opened`, { cause: error });
}

/** Whether the error says that the disk, or the file's own limit, is full. */
export function isFull(error: unknown): boolean {
  return isSystemError(error, 'SQLITE_FULL') || isSystemError(error, 'ENOSPC');
}

/** Whether a write failed because of what was to be written: it will fail again, however often it is tried. */
export function isOfData(error: unknown): boolean {
  if (!(error instanceof Database.SqliteError)) return false;
  return /^SQLITE_(CONSTRAINT|MISMATCH|TOOBIG)/.test(error.code);
}
