import { constants, existsSync } from 'node:fs';
import { access, mkdir, readdir, unlink } from 'node:fs/promises';
import { dirname, join } from 'node:path';
import { AppError, describeError } from '../../shared/errors.ts';
import { type Manifest, manifestParser } from '../../shared/family/manifest.ts';
import {
  type Family,
  MANIFEST_FILE,
  MAX_MANIFEST_BYTES,
  modelPath,
  readFamily,
  recipePath,
} from '../../shared/family/read.ts';
import { readWhole, sha256, writeAtomic } from '../../shared/files.ts';
import { parseJson } from '../../shared/schema.ts';

type Level = Manifest['levels'][number];

/** All that a manifest says but for its levels. */
export type ManifestHead = Omit<Manifest, 'levels' | 'format'>;

/** A manifest has no room for more. */
export const MAX_LEVELS = 64;

/**
 * Refuses what a manifest cannot say, before long work is done for it.
 * @throws AppError `invalid` naming the field
 */
export function checkManifest(head: ManifestHead): void {
  const model = { sha256: '0'.repeat(64), bytes: 1 };
  const level: Level = { model, accuracy: 0, macs: 1 };
  manifestParser()({ format: 1, ...head, levels: [level] }, 'the family');
}

/** A level with the bytes of its files. */
export interface LevelFiles {
  readonly level: Omit<Level, 'model' | 'recipe'>;
  readonly model: Uint8Array;
  readonly recipe?: Uint8Array;
}

/** Where a family is to be written. */
export interface Target {
  readonly folder: string;
  /** Write over a family that is there. */
  readonly replace: boolean;
  /** Default: one above that of the family that is there, else 1. */
  readonly version?: number;
}

/**
 * Refuses a place where a family cannot be written. To be asked before long work.
 * @returns the version that the family is to have: versions only go up
 * @throws AppError `conflict` for a family that is there and not to be replaced, or whose version is as high;
 * `config` for a place that cannot be written to
 */
export async function checkTarget({ folder, replace, version }: Target): Promise<number> {
  await mkdir(folder, { recursive: true })
    .then(() => access(folder, constants.W_OK | constants.X_OK))
    .catch((cause: unknown) => {
      throw new AppError('config', `${folder}: no family can be written there`, { cause });
    });
  if (!existsSync(join(folder, MANIFEST_FILE))) return version ?? 1;
  if (!replace) {
    throw new AppError('conflict', `${folder}: there is a family already; --replace writes over it`);
  }
  const present = await presentVersion(folder);
  if (version === undefined || version > present) return version ?? present + 1;
  throw new AppError(
    'conflict',
    `${folder}: version ${present} is there, and versions only go up: give --family-version ${present + 1}`,
  );
}

/** 0 where what is there is no manifest that could be read. */
async function presentVersion(folder: string): Promise<number> {
  const path = join(folder, MANIFEST_FILE);
  try {
    const bytes = await readWhole(path, MAX_MANIFEST_BYTES);
    return parseJson(new TextDecoder().decode(bytes), manifestParser(), path).version;
  } catch {
    return 0;
  }
}

/**
 * Writes a family's folder: its files, then the manifest that names them, then nothing is left of what the
 * manifest does not name. It is read back before this returns.
 * @throws AppError `invalid` when the manifest does not fit its schema
 */
export async function writeFamily(
  folder: string,
  manifest: ManifestHead,
  files: readonly LevelFiles[],
): Promise<Family> {
  const levels = files.map(
    ({ level, model, recipe }): Level => ({
      model: blobOf(model),
      ...(recipe === undefined ? {} : { recipe: blobOf(recipe) }),
      ...level,
    }),
  );
  const { name, version, task, labels, input, output, ...rest } = manifest;
  const whole = manifestParser()(
    { format: 1, name, version, task, labels, input, output, levels, ...rest },
    folder,
  );
  const blobs = new Map<string, Uint8Array>();
  for (const [index, level] of levels.entries()) {
    const { model, recipe } = files[index] ?? {};
    if (model !== undefined) blobs.set(modelPath(folder, level), model);
    if (recipe !== undefined && level.recipe !== undefined)
      blobs.set(recipePath(folder, level.recipe), recipe);
  }
  try {
    await writeAll(folder, blobs, `${JSON.stringify(whole, null, 2)}\n`);
  } catch (cause) {
    throw new AppError('system', `${folder}: the family cannot be written: ${describeError(cause)}`, {
      cause,
    });
  }
  return await readFamily(folder);
}

async function writeAll(
  folder: string,
  blobs: ReadonlyMap<string, Uint8Array>,
  manifest: string,
): Promise<void> {
  for (const [path, bytes] of blobs) {
    await mkdir(dirname(path), { recursive: true });
    await writeAtomic(path, bytes);
  }
  await writeAtomic(join(folder, MANIFEST_FILE), manifest);
  await removeOthers(join(folder, 'blobs'), new Set(blobs.keys()));
}

function blobOf(bytes: Uint8Array): Level['model'] {
  return { sha256: sha256(bytes), bytes: bytes.length };
}

/** Files of a family, and what a write that was killed left of them. */
const OURS = /^[0-9a-f]{64}\.(onnx|recipe)(\.[0-9a-f-]+\.tmp)?$/;

/** Only what is named as a family's files are: nothing else is ours to remove. */
async function removeOthers(folder: string, kept: ReadonlySet<string>): Promise<void> {
  for (const name of await readdir(folder)) {
    const path = join(folder, name);
    if (!kept.has(path) && OURS.test(name)) await unlink(path);
  }
}
