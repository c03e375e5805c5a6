import { randomUUID } from 'node:crypto';
import { copyFile, link, mkdir, open, readdir, rename, rm } from 'node:fs/promises';
import { dirname, join } from 'node:path';
import { AppError } from '../../shared/errors.ts';
import { type Family, MANIFEST_FILE, readFamily } from '../../shared/family/read.ts';
import { writeAtomic } from '../../shared/files.ts';

/** How the name of a folder ends in which a family is put together. */
const STAGING = '.staging';

/** Where a family lies in an agent's state folder, by the SHA-256 of its family.json. */
export function familyFolder(stateDir: string, sha256: string): string {
  return join(stateDir, 'families', sha256);
}

export interface NewFolder {
  readonly stateDir: string;
  readonly sha256: string;
  /** Its family.json. */
  readonly manifestBytes: Uint8Array;
  /** Puts the family's other files into a folder, and brings their content to the disk. */
  readonly fill: (folder: string) => Promise<void>;
}

/**
 * Makes a family's folder: beside its place, checked as a whole, then renamed. By that name there is never half
 * a family, nor one mixed of two; what an attempt that was cut short left is thrown away.
 * @throws AppError `invalid` when what was put together is not the family, and what `fill` throws
 */
export async function makeFamilyFolder({
  stateDir,
  sha256,
  manifestBytes,
  fill,
}: NewFolder): Promise<Family> {
  const target = familyFolder(stateDir, sha256);
  await removeAttempts(dirname(target));
  // A name of its own: what still writes for a process that was killed does not write into this.
  const staging = `${target}.${randomUUID()}${STAGING}`;
  try {
    const family = await putTogether(staging, { sha256, manifestBytes, fill });
    await remove(target);
    await rename(staging, target);
    await syncPath(dirname(target));
    return { ...family, folder: target };
  } catch (error) {
    // On a disk that is full it is what has filled it.
    await remove(staging).catch(() => undefined);
    throw error;
  }
}

async function putTogether(
  staging: string,
  { sha256, manifestBytes, fill }: Omit<NewFolder, 'stateDir'>,
): Promise<Family> {
  await mkdir(join(staging, 'blobs'), { recursive: true });
  await writeAtomic(join(staging, MANIFEST_FILE), manifestBytes);
  await fill(staging);
  const family = await readFamily(staging);
  if (family.sha256 !== sha256) {
    throw new AppError('invalid', `${staging}: it is the family ${family.sha256}, expected ${sha256}`);
  }
  await syncPath(join(staging, 'blobs'));
  await syncPath(staging);
  return family;
}

async function removeAttempts(folder: string): Promise<void> {
  const names = await readdir(folder).catch(() => []);
  for (const name of names) if (name.endsWith(STAGING)) await remove(join(folder, name));
}

async function remove(path: string): Promise<void> {
  await rm(path, { recursive: true, force: true, maxRetries: 3 });
}

/** Copies a file, and brings it to the disk. */
export async function copySynced(from: string, to: string): Promise<void> {
  await copyFile(from, to);
  await syncPath(to);
}

/** Gives a file that is on the disk a second name; copies it where the file system has no such thing. */
export async function linkOrCopy(from: string, to: string): Promise<void> {
  await link(from, to).catch(() => copySynced(from, to));
}

async function syncPath(path: string): Promise<void> {
  await using file = await open(path, 'r');
  await file.sync();
}

/** Removes every family but these, and what is left of attempts; a device's disk is small. */
export async function collectFamilies(
  stateDir: string,
  kept: readonly (string | undefined)[],
): Promise<void> {
  const folder = join(stateDir, 'families');
  const others = (await readdir(folder)).filter((name) => !kept.includes(name));
  for (const name of others) await remove(join(folder, name));
}
