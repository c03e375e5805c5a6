import { existsSync } from 'node:fs';
import { mkdir, readdir, unlink } from 'node:fs/promises';
import { dirname, join } from 'node:path';
import { AppError } from '../../shared/errors.ts';
import { type Manifest, manifestParser } from '../../shared/family/manifest.ts';
import { type Family, MANIFEST_FILE, modelPath, readFamily, recipePath } from '../../shared/family/read.ts';
import { sha256, writeAtomic } from '../../shared/files.ts';

type Level = Manifest['levels'][number];

/** A level with the bytes of its files. */
export interface LevelFiles {
  readonly level: Omit<Level, 'model' | 'recipe'>;
  readonly model: Uint8Array;
  readonly recipe?: Uint8Array;
}

/**
 * Refuses a folder that already has a family, unless it is to be replaced. To be asked before long work.
 * @throws AppError `conflict`
 */
export function checkTarget(folder: string, replace: boolean): void {
  if (replace || !existsSync(join(folder, MANIFEST_FILE))) return;
  throw new AppError('conflict', `${folder}: there is a family already; --replace writes over it`);
}

/**
 * Writes a family's folder: its files, then the manifest that names them, then nothing is left of what the
 * manifest does not name. It is read back before this returns.
 * @throws AppError `invalid` when the manifest does not fit its schema
 */
export async function writeFamily(
  folder: string,
  manifest: Omit<Manifest, 'levels' | 'format'>,
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
  for (const [path, bytes] of blobs) {
    await mkdir(dirname(path), { recursive: true });
    await writeAtomic(path, bytes);
  }
  await writeAtomic(join(folder, MANIFEST_FILE), `${JSON.stringify(whole, null, 2)}\n`);
  await removeOthers(join(folder, 'blobs'), new Set(blobs.keys()));
  return await readFamily(folder);
}

function blobOf(bytes: Uint8Array): Level['model'] {
  return { sha256: sha256(bytes), bytes: bytes.length };
}

/** Only what is named as a family's files are: nothing else is ours to remove. */
async function removeOthers(folder: string, kept: ReadonlySet<string>): Promise<void> {
  for (const name of await readdir(folder)) {
    const path = join(folder, name);
    if (!kept.has(path) && /^[0-9a-f]{64}\.(onnx|recipe)$/.test(name)) await unlink(path);
  }
}
