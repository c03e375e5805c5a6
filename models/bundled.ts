import { existsSync } from 'node:fs';
import { join } from 'node:path';
import { packageRoot } from '../shared/package.ts';

/**
 * A path, or the name of something that is bundled with the program.
 * @param rest what comes behind the name in the package: `backbone.safetensors`
 * @returns the path, as given where there is such a file or nothing bundled of this name
 */
function bundledOr(text: string, folder: string, ...rest: readonly string[]): string {
  const bundled = join(packageRoot(), 'models', folder, text, ...rest);
  return !existsSync(text) && /^[a-z0-9-]+$/.test(text) && existsSync(bundled) ? bundled : text;
}

/** Path of a backbone: a file, or a bundled backbone's name. */
export function backbonePath(text: string): string {
  return bundledOr(text, 'backbones', 'backbone.safetensors');
}

/** What names a data set: as `openDataset` takes it, or a bundled data set's name. */
export function datasetSpec(text: string): string {
  return bundledOr(text, 'data');
}

/** Path of a family: a folder, or a bundled family's name. */
export function familyPath(text: string): string {
  return bundledOr(text, 'families');
}

/** Path of the names of a bundled backbone's classes, in its order; undefined for a backbone of a file. */
export function bundledLabels(backbone: string): string | undefined {
  if (backbonePath(backbone) === backbone) return undefined;
  const path = join(packageRoot(), 'models', 'data', backbone, 'labels.txt');
  return existsSync(path) ? path : undefined;
}

/** Path of the accuracy predictor that comes with a bundled backbone, where there is one. */
export function bundledPredictor(backbone: string): string | undefined {
  const path = join(packageRoot(), 'models', 'backbones', backbone, 'predictor.json');
  return /^[a-z0-9-]+$/.test(backbone) && existsSync(path) ? path : undefined;
}
