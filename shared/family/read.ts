import { stat } from 'node:fs/promises';
import { join } from 'node:path';
import { AppError } from '../errors.ts';
import { readWhole, sha256, sha256OfFile } from '../files.ts';
import { parseJson } from '../schema.ts';
import { type Level, type Manifest, manifestParser } from './manifest.ts';

/** Name of the manifest in a family's folder. */
export const MANIFEST_FILE = 'family.json';
/** A manifest larger than this is not read. */
export const MAX_MANIFEST_BYTES = 4 * 1024 * 1024;

/** A family on disk whose every file has been checked. */
export interface Family {
  readonly manifest: Manifest;
  /** SHA-256 of the manifest's exact bytes: the family's identity. */
  readonly sha256: string;
  readonly manifestBytes: Uint8Array;
  readonly folder: string;
}

/** Where a level's model lies in a family's folder. */
export function modelPath(folder: string, { model }: Pick<Level, 'model'>): string {
  return join(folder, 'blobs', `${model.sha256}.onnx`);
}

/** Every file that a family's manifest names, in its folder. */
export function blobPaths(folder: string, { levels }: Manifest): string[] {
  return levels.flatMap(({ model, recipe }) => [
    modelPath(folder, { model }),
    ...(recipe === undefined ? [] : [recipePath(folder, recipe)]),
  ]);
}

/** Where the recipe of a level lies in a family's folder. */
export function recipePath(folder: string, recipe: NonNullable<Level['recipe']>): string {
  return join(folder, 'blobs', `${recipe.sha256}.recipe`);
}

/**
 * Reads a family's folder and checks it, in this order:
 *  1. the manifest's size, before it is read into memory;
 *  2. its schema and what a schema cannot say;
 *  3. of each model and recipe file its size, then its SHA-256.
 * @throws AppError `not-found` when there is no manifest, `invalid` for everything that does not fit
 */
export async function readFamily(folder: string): Promise<Family> {
  const path = join(folder, MANIFEST_FILE);
  const manifestBytes = await readWhole(path, MAX_MANIFEST_BYTES);
  const manifest = parseJson(new TextDecoder().decode(manifestBytes), manifestParser(), path);
  for (const [index, level] of manifest.levels.entries()) {
    const what = `${path}: level ${index}: its`;
    await checkBlob(modelPath(folder, level), level.model, `${what} model`);
    if (level.recipe !== undefined) {
      await checkBlob(recipePath(folder, level.recipe), level.recipe, `${what} recipe`);
    }
  }
  return { manifest, sha256: sha256(manifestBytes), manifestBytes, folder };
}

async function checkBlob(path: string, blob: Level['model'], what: string): Promise<void> {
  const { size } = await stat(path).catch((cause: unknown) => {
    throw new AppError('invalid', `${what} ${path} cannot be read`, { cause });
  });
  if (size !== blob.bytes) {
    throw new AppError('invalid', `${what}: ${path} has ${size} bytes, the manifest says ${blob.bytes}`);
  }
  const actual = await sha256OfFile(path);
  if (actual !== blob.sha256) {
    throw new AppError('invalid', `${what}: ${path} has SHA-256 ${actual}, the manifest says ${blob.sha256}`);
  }
}
