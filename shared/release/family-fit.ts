import { AppError } from '../errors.ts';
import type { Manifest } from '../family/manifest.ts';
import type { BlobRole, ReleaseManifest } from './manifest.ts';

/**
 * Checks that a family's release brings what its family.json names: of a `full` one every model, of one of
 * `recipes` a recipe for every model and the backbone that they are for; and that its name is the family's.
 * @throws AppError `invalid` naming the first thing that does not fit
 */
export function checkFamilyFits(release: ReleaseManifest, family: Manifest): void {
  const problem =
    nameProblem(release, family) ?? backboneProblem(release, family) ?? blobProblem(release, family);
  if (problem === undefined) return;
  throw new AppError('invalid', `family ${release.name} ${release.version}: ${problem}`);
}

function nameProblem({ name }: ReleaseManifest, family: Manifest): string | undefined {
  return name === family.name ? undefined : `its family.json is that of ${family.name}`;
}

function backboneProblem({ form, backbone }: ReleaseManifest, family: Manifest): string | undefined {
  if (form !== 'recipes' || family.backbone?.id === backbone?.id) return undefined;
  return `its recipes are for backbone ${family.backbone?.id ?? '(none)'}, it brings ${backbone?.id ?? '(none)'}`;
}

function blobProblem({ form, blobs }: ReleaseManifest, { levels }: Manifest): string | undefined {
  const brought = new Map(blobs.map(({ role, sha256, bytes }) => [`${role} ${sha256}`, bytes]));
  const lacks = (role: BlobRole, file: { sha256: string; bytes: number }): boolean =>
    brought.get(`${role} ${file.sha256}`) !== file.bytes;
  for (const [index, { model, recipe }] of levels.entries()) {
    if (form === 'recipes' && recipe === undefined) return `level ${index} has no recipe`;
    if (form === 'full' && lacks('model', model)) return `the model of level ${index} is not in it`;
    if (recipe !== undefined && lacks('recipe', recipe)) return `the recipe of level ${index} is not in it`;
  }
  return undefined;
}
