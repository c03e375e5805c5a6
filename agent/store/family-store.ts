import { copyFile, mkdir, open, readdir, rename, rm } from 'node:fs/promises';
import { dirname, join } from 'node:path';
import { AppError, describeError } from '../../shared/errors.ts';
import { blobPaths, type Family, MANIFEST_FILE, readFamily } from '../../shared/family/read.ts';
import { writeAtomic } from '../../shared/files.ts';
import type { Sqlite } from '../../shared/sqlite.ts';
import { metaOf } from './database.ts';

export interface FamilyStoreDeps {
  readonly database: Sqlite;
  readonly stateDir: string;
  readonly now: () => number;
  /**
   * Loads and runs a family that is new to this device where a crash does no harm; throws when it is unfit.
   * @returns whether all of it is fit; else it is qualified again at the next start
   */
  readonly qualify: (family: Family) => Promise<boolean>;
  /** Throws when a family that may have served before must not: all of it is quarantined. */
  readonly admit: (family: Family) => void;
  /** What a qualification is worth for: another library version asks for a new one. */
  readonly qualifier: string;
}

/** The outcome of trying to activate a family. */
export interface Activation {
  readonly family: Family;
  /** Why the family that was asked for was not taken, and the last good one runs instead. */
  readonly refused: AppError | undefined;
}

const ACTIVE = 'family';

/**
 * Takes the family of a folder into the agent's own store and makes it the one in force. The copy in the
 * store is what runs: who changes the folder changes nothing that works. A family that is broken or unfit
 * is refused and the last good one is kept.
 * @throws AppError when it is refused and there is no good one
 */
export async function activateFamily(source: string, deps: FamilyStoreDeps): Promise<Activation> {
  const meta = metaOf(deps.database);
  try {
    const family = await install(source, deps);
    const before = meta.get(ACTIVE);
    meta.set(ACTIVE, family.sha256);
    if (before !== family.sha256) await removeAllBut(deps.stateDir, [family.sha256, before]);
    return { family, refused: undefined };
  } catch (error) {
    const refused =
      error instanceof AppError
        ? error
        : new AppError('system', `${source}: ${describeError(error)}`, { cause: error });
    const last = meta.get(ACTIVE);
    if (last === undefined) throw refused;
    return { family: await lastGood(last, deps, refused), refused };
  }
}

/** @throws `refused` when it cannot serve either */
async function lastGood(sha256: string, deps: FamilyStoreDeps, refused: AppError): Promise<Family> {
  try {
    const family = await readFamily(familyFolder(deps.stateDir, sha256));
    deps.admit(family);
    return family;
  } catch {
    throw refused;
  }
}

function familyFolder(stateDir: string, sha256: string): string {
  return join(stateDir, 'families', sha256);
}

/** Keeps the family in force and the one before it, which is the way back; a device's disk is small. */
async function removeAllBut(stateDir: string, kept: readonly (string | undefined)[]): Promise<void> {
  const folder = join(stateDir, 'families');
  const others = (await readdir(folder)).filter((name) => !kept.includes(name));
  for (const name of others) await rm(join(folder, name), { recursive: true, force: true });
}

async function install(source: string, deps: FamilyStoreDeps): Promise<Family> {
  const offered = await readFamily(source);
  const target = familyFolder(deps.stateDir, offered.sha256);
  const installed = await readFamily(target).catch(() => copyFamily(offered, target));
  deps.admit(installed);
  if (!isQualified(deps, installed) && (await deps.qualify(installed))) {
    deps.database
      .prepare('INSERT OR REPLACE INTO families VALUES (?, ?, ?)')
      .run(installed.sha256, deps.qualifier, deps.now());
  }
  return installed;
}

function isQualified({ database, qualifier }: FamilyStoreDeps, family: Family): boolean {
  const row = database.prepare('SELECT 1 FROM families WHERE sha256 = ? AND qualified_with = ?');
  return row.get(family.sha256, qualifier) !== undefined;
}

/** Copies beside the target, checks what arrived, and renames: a half copy is never found by that name. */
async function copyFamily(family: Family, target: string): Promise<Family> {
  const staging = `${target}.staging`;
  await rm(staging, { recursive: true, force: true });
  await mkdir(join(staging, 'blobs'), { recursive: true });
  await writeAtomic(join(staging, MANIFEST_FILE), family.manifestBytes);
  const arriving = blobPaths(staging, family.manifest);
  for (const [index, path] of blobPaths(family.folder, family.manifest).entries()) {
    await copySynced(path, arriving[index] ?? '');
  }
  await readFamily(staging);
  await rm(target, { recursive: true, force: true });
  await rename(staging, target);
  await syncPath(dirname(target));
  return { ...family, folder: target };
}

async function copySynced(from: string, to: string): Promise<void> {
  await copyFile(from, to);
  await syncPath(to);
}

async function syncPath(path: string): Promise<void> {
  await using file = await open(path, 'r');
  await file.sync();
}
