import { join } from 'node:path';
import { AppError } from '../../../shared/errors.ts';
import { openSqlite, openSqliteReadOnly, type Sqlite } from '../../../shared/sqlite.ts';
import { MIGRATIONS } from '../migrations.ts';

export function historyPath(stateDir: string): string {
  return join(stateDir, 'history.db');
}

/** The log is copied into the database after so many pages of 4 KiB: pages that change often are copied once. */
const LOG_PAGES = 4_000;

/**
 * Opens the history for writing, or makes it; it is durable: devices forget what is acknowledged. Rows of a
 * version before are still in tables of their own: see `convertOldRows`.
 * @throws AppError `config` when it was written by a newer version
 */
export function openHistoryDatabase(stateDir: string): Sqlite {
  const sqlite = openSqlite(historyPath(stateDir), { migrations: MIGRATIONS, durable: true });
  sqlite.pragma(`wal_autocheckpoint = ${LOG_PAGES}`);
  return sqlite;
}

/** Memory for pages of the database, bytes: queries read the same inner pages again and again. */
const READER_CACHE_BYTES = 64 * 1024 * 1024;

/**
 * Opens the history, which a writer has made, for reading.
 * @throws AppError `not-found` when there is none
 */
export function openHistoryReader(stateDir: string): Sqlite {
  const path = historyPath(stateDir);
  const sqlite = openSqliteReadOnly(path);
  if (sqlite === undefined) throw new AppError('not-found', `${path}: there is no history`);
  sqlite.pragma(`cache_size = -${READER_CACHE_BYTES / 1024}`);
  return sqlite;
}
