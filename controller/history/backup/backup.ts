import { mkdir, rename, rm, stat } from 'node:fs/promises';
import { join } from 'node:path';
import { AppError } from '../../../shared/errors.ts';
import { syncFolder, writeAtomic } from '../../../shared/files.ts';
import { packageVersion } from '../../../shared/package.ts';
import { copySqlite, type Sqlite } from '../../../shared/sqlite.ts';
import { type BackupManifest, describeFiles, MANIFEST_NAME } from './manifest.ts';

/** Where the backups of a state folder lie. */
export function backupsFolder(stateDir: string): string {
  return join(stateDir, 'backups');
}

/** A moment as a part of a file name, for people: `20261123T201345Z`. */
export function nameOfTime(ts: number): string {
  return new Date(ts).toISOString().replaceAll(/[-:]|\.\d+/g, '');
}

export interface BackupSources {
  readonly stateDir: string;
  /** The open `fleet.db`: it is locked, so that only its own connection can copy it. */
  readonly fleet: Sqlite;
  /** Copies `history.db` as it is at one moment to a new file. */
  readonly copyHistory: (path: string) => Promise<{ readonly windows: number }>;
  /** Milliseconds since the epoch. */
  readonly now: number;
}

export interface BackupResult {
  /** The folder that was made. */
  readonly path: string;
  readonly bytes: number;
  readonly devices: number;
  readonly windows: number;
}

/**
 * Backs up both databases of a running controller to `<state>/backups/<time>/`: each is complete and as it
 * was at one moment; the telemetry first, so that every device in it is known. The folder is there whole and
 * durably, or not at all.
 * @throws AppError `conflict` when there is a backup of this second, `system` when it cannot be written
 */
export async function backupState(sources: BackupSources): Promise<BackupResult> {
  const { stateDir, now } = sources;
  const parent = backupsFolder(stateDir);
  const name = nameOfTime(now);
  const temporary = join(parent, `.${name}.tmp`);
  await mkdir(parent, { recursive: true, mode: 0o700 });
  await claim(temporary, join(parent, name));
  try {
    const manifest = await write(temporary, sources);
    await rename(temporary, join(parent, name));
    await syncFolder(parent);
    const bytes = manifest.files.reduce((sum, file) => sum + file.bytes, 0);
    return { path: join(parent, name), bytes, devices: manifest.devices, windows: manifest.windows };
  } catch (error) {
    await rm(temporary, { recursive: true, force: true });
    throw error;
  }
}

/** Makes the folder to write into; one that a crash left behind is of an older second. */
async function claim(temporary: string, target: string): Promise<void> {
  const isThere = await stat(target).then(
    () => true,
    () => false,
  );
  try {
    if (!isThere) return await mkdir(temporary, { mode: 0o700 });
  } catch (cause) {
    throw new AppError('conflict', `${temporary}: another backup is being made`, { cause });
  }
  throw new AppError('conflict', `${target}: there is a backup of this second already`);
}

async function write(folder: string, { fleet, copyHistory, now }: BackupSources): Promise<BackupManifest> {
  const { windows } = await copyHistory(join(folder, 'history.db'));
  await copySqlite(fleet, join(folder, 'fleet.db'));
  const devices = Number(fleet.prepare('SELECT count(*) FROM devices').pluck().get());
  const manifest: BackupManifest = {
    format: 1,
    version: packageVersion(),
    createdTs: now,
    devices,
    windows,
    files: await describeFiles(folder),
  };
  await writeAtomic(join(folder, MANIFEST_NAME), `${JSON.stringify(manifest, null, 2)}\n`, 0o600);
  return manifest;
}
