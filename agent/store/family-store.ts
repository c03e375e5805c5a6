import { join } from 'node:path';
import { AppError, describeError } from '../../shared/errors.ts';
import {
  blobPaths,
  type Family,
  MANIFEST_FILE,
  MAX_MANIFEST_BYTES,
  readFamily,
} from '../../shared/family/read.ts';
import { readWhole, sha256 } from '../../shared/files.ts';
import type { Sqlite } from '../../shared/sqlite.ts';
import { bootDecision, givenUp } from './boot-decision.ts';
import { type Meta, metaOf } from './database.ts';
import { collectFamilies, copySynced, familyFolder, makeFamilyFolder } from './family-folder.ts';
import {
  FACTORY_KEY,
  type Holdings,
  type Installed,
  type InstallJournal,
  openInstallJournal,
} from './install-journal.ts';

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
  /** Ends the start; what fails because of that is not the family's fault. */
  readonly signal?: AbortSignal | undefined;
  /** What a qualification is worth for: another library version asks for a new one. */
  readonly qualifier: string;
}

/** The outcome of trying to activate a family. */
export interface Activation {
  readonly family: Family;
  /** Why the family that was asked for was not taken, and another one runs instead. */
  readonly refused: AppError | undefined;
}

/** Where agents before there was a journal kept the SHA-256 of the family in force. */
const FORMER_ACTIVE = 'family';

/** What there is to choose from at a start. */
interface Boot {
  readonly source: string;
  /** SHA-256 of the family that the configured folder says it holds; undefined when that cannot be read. */
  readonly sourceSha256: string | undefined;
  readonly deps: FamilyStoreDeps;
  readonly meta: Meta;
  readonly journal: InstallJournal;
}

/** One family that may be served, and what it means that it is, or cannot be. */
interface Offer {
  readonly open: () => Promise<Family>;
  readonly onTaken?: (family: Family) => Promise<void>;
  readonly onFailed?: (reason: string) => void;
}

/**
 * Chooses the family to serve after a start, in this order:
 *  1. that of the configured folder (the factory family) when it is another than the folder's last one: an operator
 *     put it there; or while no rollout has brought one;
 *  2. the candidate of an install that is in progress, unless the agent died of it too often;
 *  3. what was committed last;
 *  4. whatever else of this is there and works.
 * Each runs from the agent's own store: who changes the folder changes nothing that works. To be called once per
 * start: it counts deaths of candidates.
 * @throws AppError when none can serve: why the first one could not; the signal's reason when it aborts
 */
export async function activateFamily(source: string, deps: FamilyStoreDeps): Promise<Activation> {
  const journal = openInstallJournal(deps.database);
  const meta = metaOf(deps.database);
  const sourceSha256 = await manifestSha256(source);
  const boot: Boot = { source, sourceSha256, deps, meta, journal };
  const { serve } = countDeath(boot);
  let refused: AppError | undefined;
  for (const { open, onTaken, onFailed } of offersOf(boot, serve)) {
    try {
      const family = await open();
      await onTaken?.(family);
      return { family, refused };
    } catch (error) {
      deps.signal?.throwIfAborted();
      const failure = asAppError(error, source);
      onFailed?.(describeError(failure));
      refused ??= failure;
    }
  }
  throw refused ?? new AppError('not-found', `${source}: there is no family`);
}

/**
 * Qualifies a family unless that was done with the same qualifier before.
 * @throws what `qualify` throws: it is unfit
 */
export async function qualifyOnce(
  family: Family,
  deps: Pick<FamilyStoreDeps, 'database' | 'qualifier' | 'qualify' | 'now'>,
): Promise<void> {
  const { database, qualifier } = deps;
  const row = database.prepare('SELECT 1 FROM families WHERE sha256 = ? AND qualified_with = ?');
  if (row.get(family.sha256, qualifier) !== undefined) return;
  if (!(await deps.qualify(family))) return;
  database
    .prepare('INSERT OR REPLACE INTO families VALUES (?, ?, ?)')
    .run(family.sha256, qualifier, deps.now());
}

async function manifestSha256(source: string): Promise<string | undefined> {
  try {
    return sha256(await readWhole(join(source, MANIFEST_FILE), MAX_MANIFEST_BYTES));
  } catch {
    return undefined;
  }
}

function holdingsOf({ journal, meta }: Boot): Holdings {
  const holdings = journal.holdings('family');
  const former = meta.get(FORMER_ACTIVE);
  if (holdings.committed !== undefined || former === undefined) return holdings;
  return { ...holdings, committed: { sha256: former, blobs: [] } };
}

function countDeath(boot: Boot): ReturnType<typeof bootDecision> {
  const rows = { holdings: holdingsOf(boot), record: boot.journal.open('family') };
  const decision = bootDecision(rows, boot.deps.now());
  if (decision.write !== undefined) boot.journal.write('family', decision.write);
  return decision;
}

function offersOf(boot: Boot, serve: Installed | undefined): Offer[] {
  const { sourceSha256, journal } = boot;
  const holdings = holdingsOf(boot);
  const { committed, before, candidate } = holdings;
  const configured: Offer = { open: () => install(boot), onTaken: (family) => takeFactory(boot, family) };
  const isOwn = [committed, candidate].every((installed) => installed?.release === undefined);
  const hasChanged = sourceSha256 !== undefined && sourceSha256 !== journal.factoryFamily();
  const trial: Offer[] =
    candidate === undefined || serve?.sha256 !== candidate.sha256
      ? []
      : [{ open: () => openHeld(boot, candidate), onFailed: (reason) => giveUp(boot, reason) }];
  const held = (installed: Installed | undefined, isSure = true): Offer[] =>
    installed === undefined ? [] : [{ open: () => openHeld(boot, installed, isSure) }];
  if (isOwn || hasChanged) return [configured, ...trial, ...held(committed, false), ...held(before)];
  return [
    ...trial,
    ...held(committed),
    { open: () => install(boot) },
    ...held(before),
    // Better one that could not be tried than none: it has served before.
    ...held(committed, false),
  ];
}

/** The family of the configured folder, from the agent's own copy, which is made or mended where need be. */
async function install({ source, deps }: Boot): Promise<Family> {
  const offered = await readFamily(source);
  const target = familyFolder(deps.stateDir, offered.sha256);
  const installed = await readFamily(target).catch(() => copyFamily(offered, deps.stateDir));
  deps.admit(installed);
  await qualifyOnce(installed, deps);
  return installed;
}

/** @param isSure whether it is qualified first, where that was not done before */
async function openHeld(boot: Boot, { sha256: held }: Installed, isSure = true): Promise<Family> {
  const { deps, sourceSha256 } = boot;
  if (isSure && held === sourceSha256) return await install(boot);
  const family = await readFamily(familyFolder(deps.stateDir, held ?? ''));
  deps.admit(family);
  if (isSure) await qualifyOnce(family, deps);
  return family;
}

/** The factory family is in force at once: who put it there stands beside the device. */
async function takeFactory(boot: Boot, { sha256: taken }: Family): Promise<void> {
  const { journal, meta, deps, source } = boot;
  const { committed, before, candidate } = holdingsOf(boot);
  if (committed?.sha256 !== taken && candidate?.sha256 !== taken) {
    if (candidate !== undefined) giveUp(boot, `an operator has put another family into ${source}`);
    journal.write('family', {
      holdings: {
        committed: { sha256: taken, blobs: [] },
        ...(committed === undefined ? {} : { before: committed }),
      },
    });
    const kept = [taken, committed?.sha256 ?? undefined];
    await collectFamilies(deps.stateDir, kept);
  } else if (journal.holdings('family').committed === undefined && committed !== undefined) {
    journal.write('family', { holdings: { committed, ...(before === undefined ? {} : { before }) } });
  }
  if (journal.factoryFamily() !== taken) meta.set(FACTORY_KEY, taken);
}

function giveUp(boot: Boot, reason: string): void {
  const record = boot.journal.open('family');
  if (record === undefined) return;
  const { write } = givenUp({ holdings: holdingsOf(boot), record }, boot.deps.now(), reason);
  boot.journal.write('family', write);
}

function asAppError(error: unknown, source: string): AppError {
  if (error instanceof AppError) return error;
  return new AppError('system', `${source}: ${describeError(error)}`, { cause: error });
}

async function copyFamily(family: Family, stateDir: string): Promise<Family> {
  return await makeFamilyFolder({
    stateDir,
    sha256: family.sha256,
    manifestBytes: family.manifestBytes,
    fill: async (folder) => {
      const arriving = blobPaths(folder, family.manifest);
      for (const [index, path] of blobPaths(family.folder, family.manifest).entries()) {
        await copySynced(path, arriving[index] ?? '');
      }
    },
  });
}
