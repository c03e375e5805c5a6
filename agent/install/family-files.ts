import { readdir } from 'node:fs/promises';
import { join } from 'node:path';
import type { Clock } from '../../shared/clock.ts';
import { AppError } from '../../shared/errors.ts';
import { type Manifest, manifestParser } from '../../shared/family/manifest.ts';
import { type Family, MAX_MANIFEST_BYTES, modelPath, recipePath } from '../../shared/family/read.ts';
import { readWhole } from '../../shared/files.ts';
import type { ReleaseBlob, ReleaseManifest } from '../../shared/release/manifest.ts';
import { parseJson } from '../../shared/schema.ts';
import type { BlobRef, BlobStore } from '../blobs/blob-store.ts';
import { type Cut, cutModels } from '../cut/cut.ts';
import { linkOrCopy, makeFamilyFolder } from '../store/family-folder.ts';
import { Refused } from './attempt.ts';
import { contentOf } from './release.ts';

/** A release of a family with the family.json that it brings. */
export interface FamilyRelease {
  readonly release: ReleaseManifest;
  readonly family: Manifest;
  readonly familyBytes: Uint8Array;
  /** Of its family.json: the family's identity. */
  readonly sha256: string;
}

/** The family.json among a release's blobs; there is exactly one. */
export function familyBlobOf({ blobs }: ReleaseManifest): ReleaseBlob {
  const found = blobs.find(({ role }) => role === 'family');
  if (found === undefined) throw new Refused('the release has no family.json');
  if (found.bytes <= MAX_MANIFEST_BYTES) return found;
  throw new Refused(`its family.json has ${found.bytes} bytes, at most ${MAX_MANIFEST_BYTES} are read`);
}

/**
 * Reads the family.json that a release brings, and checks that the release has what it names.
 * @throws Refused when it does not fit
 */
export async function readFamilyRelease(release: ReleaseManifest, store: BlobStore): Promise<FamilyRelease> {
  const what = `${release.name} ${release.version}: its family.json`;
  const blob = familyBlobOf(release);
  const familyBytes = await readWhole(store.pathOf(blob.sha256), MAX_MANIFEST_BYTES);
  let family: Manifest;
  try {
    family = parseJson(new TextDecoder().decode(familyBytes), manifestParser(), what);
  } catch (cause) {
    throw new Refused(cause instanceof AppError ? cause.message : `${what} cannot be read`, { cause });
  }
  const problem = missingOf(release, family);
  if (problem !== undefined) throw new Refused(`${what} ${problem}`);
  return { release, family, familyBytes, sha256: blob.sha256 };
}

function missingOf({ form, blobs, backbone }: ReleaseManifest, family: Manifest): string | undefined {
  const sizes = new Map(blobs.map(({ sha256, bytes }) => [sha256, bytes]));
  const isThere = (blob: { sha256: string; bytes: number }): boolean => sizes.get(blob.sha256) === blob.bytes;
  for (const [index, { model, recipe }] of family.levels.entries()) {
    if (form === 'full' && !isThere(model))
      return `names the model of level ${index}, which the release lacks`;
    if (form === 'recipes' && recipe === undefined) return `has no recipe of level ${index}`;
    if (recipe !== undefined && !isThere(recipe)) {
      return `names the recipe of level ${index}, which the release lacks`;
    }
  }
  if (form !== 'recipes' || family.backbone?.id === backbone?.id) return undefined;
  return `is of the backbone ${family.backbone?.id}, the release brings ${backbone?.id}`;
}

/** The blobs that are to be fetched for it. */
export function refsOf({ blobs }: ReleaseManifest): BlobRef[] {
  return blobs.map(({ sha256, bytes, chunks }) => ({ sha256, bytes, chunks }));
}

/** Models that the device has to cut: of levels whose file is not there. */
export async function modelsToCut(
  { release, family }: FamilyRelease,
  store: BlobStore,
): Promise<Manifest['levels']> {
  if (release.form !== 'recipes') return [];
  const unique = new Map(family.levels.map((level) => [level.model.sha256, level]));
  const absent: Manifest['levels'] = [];
  for (const level of unique.values()) if (!(await store.has(level.model))) absent.push(level);
  return absent;
}

const FAMILY_FILE = /^([0-9a-f]{64})\.(onnx|recipe)$/;

/**
 * Takes files that families on this device have into the blob store, each checked anew, so that nothing is fetched
 * or cut twice.
 */
export async function adoptLocal(
  stateDir: string,
  { release, family }: FamilyRelease,
  store: BlobStore,
): Promise<void> {
  const files = [...release.blobs, ...family.levels.map(({ model }) => model)];
  const wanted = new Map<string, BlobRef>();
  for (const file of files) if (!(await store.has(file))) wanted.set(file.sha256, file);
  for (const name of await foldersIn(join(stateDir, 'families'))) {
    const folder = join(stateDir, 'families', name, 'blobs');
    for (const file of await foldersIn(folder)) {
      const sha256 = FAMILY_FILE.exec(file)?.[1] ?? '';
      if (!wanted.has(sha256) || (await contentOf(join(folder, file))) !== sha256) continue;
      await store.adopt(join(folder, file), sha256);
      wanted.delete(sha256);
    }
  }
}

async function foldersIn(folder: string): Promise<string[]> {
  return await readdir(folder).catch(() => []);
}

export interface StageOptions {
  readonly stateDir: string;
  readonly store: BlobStore;
  /** No model takes longer to be cut. */
  readonly timeoutMs: number;
  readonly clock: Clock;
  readonly signal: AbortSignal;
}

/**
 * Puts a family together from blobs that are there, cutting the models that are not.
 * @throws AppError `invalid` when a blob has gone bad or what is cut is not what it must be
 */
export async function stageFamily(release: FamilyRelease, options: StageOptions): Promise<Family> {
  const { stateDir, store, timeoutMs, clock, signal } = options;
  return await makeFamilyFolder({
    stateDir,
    sha256: release.sha256,
    manifestBytes: release.familyBytes,
    fill: async (folder) => {
      const absent = new Set((await modelsToCut(release, store)).map(({ model }) => model.sha256));
      await linkFiles(folder, release.family, { store, absent });
      signal.throwIfAborted();
      const { backbone } = release.release;
      const cuts = cutsOf(folder, release.family, absent);
      if (cuts.length === 0 || backbone === undefined) return;
      const backbonePath = store.pathOf(backbone.sha256);
      // What is done is done, should the process end before the rest is.
      const kept: Promise<void>[] = [];
      const onCut = ({ modelPath: path, sha256 }: Cut): void => {
        kept.push(store.adopt(path, sha256).catch(() => undefined));
      };
      await cutModels({ backbonePath, cuts, timeoutMs, clock, signal, onCut });
      await Promise.all(kept);
    },
  });
}

async function linkFiles(
  folder: string,
  { levels }: Manifest,
  { store, absent }: { readonly store: BlobStore; readonly absent: ReadonlySet<string> },
): Promise<void> {
  const links = new Map<string, string>();
  for (const level of levels) {
    if (!absent.has(level.model.sha256)) links.set(modelPath(folder, level), level.model.sha256);
    if (level.recipe !== undefined) links.set(recipePath(folder, level.recipe), level.recipe.sha256);
  }
  for (const [path, sha256] of links) await linkOrCopy(store.pathOf(sha256), path);
}

function cutsOf(folder: string, { levels }: Manifest, absent: ReadonlySet<string>): Cut[] {
  const cuts = new Map<string, Cut>();
  for (const level of levels) {
    const { model, recipe } = level;
    if (recipe === undefined || !absent.has(model.sha256)) continue;
    cuts.set(model.sha256, {
      recipePath: recipePath(folder, recipe),
      modelPath: modelPath(folder, level),
      sha256: model.sha256,
    });
  }
  return [...cuts.values()];
}
