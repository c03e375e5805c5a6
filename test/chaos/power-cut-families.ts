import { join } from 'node:path';
import { writeFamily } from '../../models/family/write.ts';
import { type Family, modelPath, recipePath } from '../../shared/family/read.ts';
import { readWhole } from '../../shared/files.ts';
import type { FamilyForm } from '../../shared/release/build.ts';
import { bundledFamily } from '../support/bundled.ts';
import { familyOfLevels } from '../support/family-host.ts';
import { spoiltFamily } from '../support/spoilt.ts';

/** Of the bundled family: that of the factory is in no other, those of recipes have nothing in common. */
const FACTORY = 4;
const RECIPES = [
  [0, 2],
  [1, 3],
] as const;

/** A family with the form that it travels in. */
export interface Draft {
  readonly family: Family;
  readonly form: FamilyForm;
}

/** The family that devices come with. */
export function factoryFamily(folder: string): Promise<Family> {
  return familyOfLevels(join(folder, 'factory'), [FACTORY], { version: 1 });
}

/**
 * Another version of the family, by turns as models that no device has, and as recipes for models that the device
 * has not kept.
 * @param turn counts the families of a device, from 0
 */
export async function nextFamily(folder: string, version: number, turn: number): Promise<Draft> {
  const path = join(folder, String(version));
  if (turn % 2 === 0) {
    const source = await familyOfLevels(`${path}-source`, [0, 1]);
    return {
      family: await spoiltFamily(path, { kind: 'none' }, { source: source.folder, version }),
      form: 'full',
    };
  }
  const levels = RECIPES[((turn - 1) / 2) % 2] ?? RECIPES[0];
  return { family: await familyOfRecipes(path, version, levels), form: 'recipes' };
}

async function familyOfRecipes(path: string, version: number, indices: readonly number[]): Promise<Family> {
  const { manifest, folder } = await bundledFamily();
  const { format: _, levels, ...head } = manifest;
  const files = indices.map(async (index) => {
    const { model, recipe, ...level } = at(levels, index);
    if (recipe === undefined) throw new Error(`the bundled family has no recipe of level ${index}`);
    return {
      level,
      model: await readWhole(modelPath(folder, { model }), model.bytes),
      recipe: await readWhole(recipePath(folder, recipe), recipe.bytes),
    };
  });
  return await writeFamily(path, { ...head, version }, await Promise.all(files));
}

function at<T>(list: readonly T[], index: number): T {
  const found = list[index];
  if (found === undefined) throw new Error(`the bundled family has no level ${index}`);
  return found;
}
