import { existsSync } from 'node:fs';
import { chmod, copyFile, mkdir, open, rename, rm } from 'node:fs/promises';
import { join } from 'node:path';
import { AppError } from '../../../shared/errors.ts';
import { makeStateFolder, syncFolder } from '../../../shared/files.ts';
import { holdSqlite, problemsOfSqlite, type Sqlite } from '../../../shared/sqlite.ts';
import { nameOfTime } from './backup.ts';
import { problemsOfHistory } from './integrity.ts';
import { BACKUP_FILES, type BackupManifest, readBackup } from './manifest.ts';

/** SQLite's own files beside a database. */
const COMPANIONS = ['', '-wal', '-shm', '-journal'];

export interface RestoreOptions {
  /** Folder of the backup. */
  readonly from: string;
  readonly stateDir: string;
  /** Whether databases that are there may be replaced; they are kept aside. */
  readonly force: boolean;
  /** Milliseconds since the epoch. */
  readonly now: number;
}

export interface RestoreResult {
  readonly manifest: BackupManifest;
  /** The new epoch: larger than any that this fleet has seen, so that devices take what they are told now. */
  readonly epoch: number;
  /** Where the databases that were replaced lie. */
  readonly replaced: string | undefined;
}

/**
 * Puts a backup in place of a controller's databases while no controller runs there. What was stored after
 * the backup is in the databases kept aside only: devices have forgotten it.
 * @throws AppError `not-found` or `invalid` when the backup is none or damaged, `conflict` when a controller
 * runs, or databases are there and `force` was not said
 */
export async function restoreBackup(options: RestoreOptions): Promise<RestoreResult> {
  const { from, stateDir, force, now } = options;
  const manifest = await readBackup(from);
  makeStateFolder(stateDir, 0o700);
  const before = examine(stateDir);
  if (before.isThere && !force) {
    throw new AppError('conflict', `${stateDir}: there are databases already; --force replaces them`);
  }
  const staging = join(stateDir, '.restore');
  await rm(staging, { recursive: true, force: true });
  try {
    await stage(from, staging);
    const epoch = prepare(staging, Math.max(before.epoch, Math.floor(now / 1_000)));
    for (const name of BACKUP_FILES) await syncFile(join(staging, name));
    // A controller may have been started meanwhile.
    examine(stateDir);
    const replaced = await setAside(stateDir, now);
    await putInPlace(staging, stateDir);
    return { manifest, epoch, replaced };
  } finally {
    await rm(staging, { recursive: true, force: true });
  }
}

/** Makes sure that no controller runs, and reads the epoch of what is there: 0 where it cannot be read. */
function examine(stateDir: string): { readonly isThere: boolean; readonly epoch: number } {
  const epochs = BACKUP_FILES.map((name) => {
    const path = join(stateDir, name);
    try {
      const held = holdSqlite(path);
      if (held === undefined) return undefined;
      try {
        return epochOf(held);
      } finally {
        held.close();
      }
    } catch (error) {
      if (error instanceof AppError && error.code === 'conflict') {
        throw new AppError('conflict', `${path}: a controller runs on it; stop it first`, { cause: error });
      }
      // It is damaged: perhaps the very reason for a restore.
      return 0;
    }
  });
  const known = epochs.filter((epoch) => epoch !== undefined);
  return { isThere: known.length > 0, epoch: Math.max(0, ...known) };
}

/** Versions before kept it in the history. */
function epochOf(database: Sqlite): number {
  try {
    const value = database.prepare("SELECT value FROM meta WHERE key = 'epoch'").pluck().get();
    const epoch = Number(value ?? 0);
    return Number.isSafeInteger(epoch) ? epoch : 0;
  } catch {
    return 0;
  }
}

/** Copies the backup; whatever its modes are, the copy is private. */
async function stage(from: string, staging: string): Promise<void> {
  await mkdir(staging, { mode: 0o700 });
  for (const name of BACKUP_FILES) {
    const path = join(staging, name);
    await copyFile(join(from, name), path);
    await chmod(path, 0o600);
  }
}

/** Checks the staged databases, and begins a new epoch in them. */
function prepare(staging: string, atLeast: number): number {
  const check = <T>(name: string, work: (database: Sqlite) => T): T => {
    const path = join(staging, name);
    const database = holdSqlite(path);
    if (database === undefined) throw new AppError('system', `${path}: the copy is not there`);
    try {
      return work(database);
    } finally {
      database.close();
    }
  };
  check('history.db', (database) => refuseProblems('history.db', problemsOfHistory(database, true)));
  return check('fleet.db', (database) => {
    refuseProblems('fleet.db', problemsOfSqlite(database, true));
    const epoch = Math.max(epochOf(database), atLeast) + 1;
    database.pragma('synchronous = FULL');
    database
      .prepare(
        "INSERT INTO meta (key, value) VALUES ('epoch', ?) ON CONFLICT (key) DO UPDATE SET value = excluded.value",
      )
      .run(String(epoch));
    return epoch;
  });
}

function refuseProblems(name: string, problems: readonly string[]): void {
  const [first] = problems;
  if (first === undefined) return;
  throw new AppError('invalid', `${name} of the backup is damaged: ${first} (${problems.length} in all)`);
}

/** Moves the databases that are there, with SQLite's files beside them, to a folder of their own. */
async function setAside(stateDir: string, now: number): Promise<string | undefined> {
  const names = BACKUP_FILES.flatMap((name) => COMPANIONS.map((suffix) => `${name}${suffix}`));
  const there = names.filter((name) => existsSync(join(stateDir, name)));
  if (there.length === 0) return undefined;
  const aside = join(stateDir, `replaced-${nameOfTime(now)}`);
  await mkdir(aside, { mode: 0o700 }).catch((cause: unknown) => {
    throw new AppError('system', `${aside}: the databases that are there cannot be kept aside`, { cause });
  });
  for (const name of there) await rename(join(stateDir, name), join(aside, name));
  await syncFolder(aside);
  return aside;
}

async function putInPlace(staging: string, stateDir: string): Promise<void> {
  for (const name of BACKUP_FILES) await rename(join(staging, name), join(stateDir, name));
  await syncFolder(stateDir);
}

async function syncFile(path: string): Promise<void> {
  await using file = await open(path, 'r+');
  await file.sync();
}
