import { existsSync } from 'node:fs';
import Database from 'better-sqlite3';
import { AppError, isSystemError } from './errors.ts';

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
