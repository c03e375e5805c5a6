import { readdir, rm } from 'node:fs/promises';
import { join } from 'node:path';
import { bootDecision } from '../../agent/store/boot-decision.ts';
import { openAgentDatabase } from '../../agent/store/database.ts';
import { familyFolder } from '../../agent/store/family-folder.ts';
import { type InstallJournal, openInstallJournal } from '../../agent/store/install-journal.ts';
import { describeError, isSystemError } from '../../shared/errors.ts';
import { readFamily } from '../../shared/family/read.ts';
import { sha256OfFile } from '../../shared/files.ts';

const SHA256 = /^[0-9a-f]{64}$/;

/** What the state folder of an agent that does not run says. */
export interface Cut {
  /** How far the newest order is, or how it ended. */
  readonly place: string;
  /** What is not whole, or not known, a line each. */
  readonly problems: readonly string[];
}

/**
 * Looks at a state folder as the next start would: what it would serve, and every other family that has its name,
 * must be whole and one of those that there are; every blob that has its name must be what it says.
 * @param known SHA-256 of each family that was ever published, and that of the factory
 */
export async function inspectCut(stateDir: string, known: ReadonlySet<string>): Promise<Cut> {
  const { place, serves } = withJournal(stateDir, (journal) => {
    const record = journal.open('family');
    // The time is only written down.
    const { serve } = bootDecision({ holdings: journal.holdings('family'), record }, 0);
    const last = record ?? journal.newest('family');
    const how = last?.state === 'in-progress' ? last.step : (last?.state ?? 'before any order');
    return { place: how, serves: serve?.sha256 ?? undefined };
  });
  const named = (await namesIn(join(stateDir, 'families'))).filter((name) => SHA256.test(name));
  const families = new Set([...named, ...(serves === undefined ? [] : [serves])]);
  const problems: string[] = [];
  for (const sha256 of families) problems.push(...(await problemsOfFamily(stateDir, sha256, known)));
  problems.push(...(await problemsOfBlobs(stateDir)));
  return { place, problems };
}

/**
 * Takes away what a power cut takes and a kill leaves: the marker that says what was being run, which is never brought
 * to the disk. With it, two kills within an hour would be two deaths of the model, and it would be quarantined.
 */
export async function loseMarkers(stateDir: string): Promise<void> {
  const markers = (await namesIn(stateDir)).filter((name) => name.startsWith('in-flight'));
  for (const name of markers) await rm(join(stateDir, name));
}

/** What is there that nothing needs once all is committed, a line each. */
export async function leftOvers(stateDir: string): Promise<string[]> {
  const { blobs, families } = withJournal(stateDir, (journal) => {
    const { committed, before, candidate } = journal.holdings('family');
    const held = [committed, before, candidate].filter((installed) => installed !== undefined);
    return {
      blobs: held.flatMap((installed) => installed.blobs),
      families: [journal.factoryFamily(), ...held.map(({ sha256 }) => sha256 ?? undefined)],
    };
  });
  const others = async (folder: string, kept: readonly (string | undefined)[]): Promise<string[]> =>
    (await namesIn(join(stateDir, folder)))
      .filter((name) => !kept.includes(name))
      .map((name) => `${folder}/${name}`);
  return [
    ...(await others('blobs', blobs)),
    ...(await others('families', families)),
    ...(await others('lean', families)),
  ];
}

function withJournal<T>(stateDir: string, read: (journal: InstallJournal) => T): T {
  const database = openAgentDatabase(stateDir);
  try {
    return read(openInstallJournal(database));
  } finally {
    database.close();
  }
}

async function namesIn(folder: string): Promise<string[]> {
  try {
    return await readdir(folder);
  } catch (error) {
    // Nothing of it was made yet.
    if (isSystemError(error, 'ENOENT')) return [];
    throw error;
  }
}

/** Reading a family checks the SHA-256 of everything that its manifest names: one that is mixed is not read. */
async function problemsOfFamily(
  stateDir: string,
  sha256: string,
  known: ReadonlySet<string>,
): Promise<string[]> {
  const folder = familyFolder(stateDir, sha256);
  try {
    const family = await readFamily(folder);
    if (family.sha256 !== sha256) return [`${folder} holds the family ${family.sha256}`];
    return known.has(sha256) ? [] : [`${folder} holds a family that nobody published`];
  } catch (error) {
    return [`${folder} is not whole: ${describeError(error)}`];
  }
}

async function problemsOfBlobs(stateDir: string): Promise<string[]> {
  const folder = join(stateDir, 'blobs');
  const names = (await namesIn(folder)).filter((name) => SHA256.test(name));
  const hashes = await Promise.all(names.map((name) => sha256OfFile(join(folder, name))));
  return names.flatMap((name, index) =>
    hashes[index] === name ? [] : [`${join(folder, name)} has the SHA-256 ${hashes[index]}`],
  );
}
