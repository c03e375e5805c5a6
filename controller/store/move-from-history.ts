import { existsSync } from 'node:fs';
import { AppError, isSystemError } from '../../shared/errors.ts';
import type { Sqlite } from '../../shared/sqlite.ts';

/** The newest schema of `history.db` that held these tables too. */
const LAST_WHOLE_VERSION = 2;
/** What is moved, with the columns that both sides have. */
const TABLES = {
  devices: 'id, first_seen_ts, last_seen_ts, presence, reported, labels',
  groups: 'name, priority, selector, members, anonymous',
  desired: 'kind, name, epoch, n, requirement, settings, groups',
  meta: 'key, value',
} as const;

/**
 * Takes over what versions before kept in `history.db`: devices, groups, what is stated, epoch and token.
 * It only reads there, and copies all in one transaction, unless `fleet` has an epoch already: so it may be
 * killed at any moment, and may be called at every start. The history drops its own copy afterwards.
 * @returns whether something was taken over
 * @throws AppError `conflict` when another process has the history open
 */
export function moveFromHistory(fleet: Sqlite, historyPath: string): boolean {
  if (!existsSync(historyPath) || hasEpoch(fleet)) return false;
  try {
    fleet.prepare('ATTACH ? AS old').run(historyPath);
    try {
      return copy(fleet);
    } finally {
      fleet.exec('DETACH old');
    }
  } catch (cause) {
    if (!isSystemError(cause, 'SQLITE_BUSY')) throw cause;
    throw new AppError('conflict', `${historyPath}: another process has it open; stop that one first`, {
      cause,
    });
  }
}

function hasEpoch(fleet: Sqlite): boolean {
  return fleet.prepare("SELECT 1 FROM meta WHERE key = 'epoch'").get() !== undefined;
}

function copy(fleet: Sqlite): boolean {
  const version = Number(fleet.pragma('old.user_version', { simple: true }));
  if (version < 1 || version > LAST_WHOLE_VERSION) return false;
  fleet.transaction(() => {
    for (const [table, columns] of Object.entries(TABLES)) {
      fleet.exec(`INSERT OR REPLACE INTO main.${table} (${columns}) SELECT ${columns} FROM old.${table}`);
    }
  })();
  return true;
}
