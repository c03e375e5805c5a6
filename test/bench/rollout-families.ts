import { randomBytes } from 'node:crypto';
import { join } from 'node:path';
import { writeFamily } from '../../models/family/write.ts';
import { type Backbone, backboneOf } from '../../models/ofa/backbone.ts';
import { cutModel } from '../../models/ofa/cut.ts';
import { decodeRecipe, encodeRecipe, type Recipe } from '../../models/ofa/recipe.ts';
import { parseSafetensors } from '../../models/ofa/safetensors.ts';
import { invariant } from '../../shared/errors.ts';
import { type Family, recipePath } from '../../shared/family/read.ts';
import { readWhole } from '../../shared/files.ts';
import { packageRoot } from '../../shared/package.ts';
import { bundledFamily } from '../support/bundled.ts';

export const BUNDLED = join(packageRoot(), 'models', 'families', 'fashion-mnist');
export const BACKBONE = join(packageRoot(), 'models', 'backbones', 'fashion-mnist', 'backbone.safetensors');

/**
 * A family that nobody can run and that shares no file with another one: what drawn devices are installed with, and
 * what measures a transfer.
 * @param bytes of its one model
 */
export async function bulkyFamily(folder: string, version: number, bytes: number): Promise<Family> {
  const { format: _, levels, backbone: __, ...head } = (await bundledFamily()).manifest;
  const [first] = levels;
  invariant(first !== undefined, 'the bundled family has levels');
  const { model: _model, recipe: _recipe, ...level } = first;
  const manifest = { ...head, name: 'bulky', version };
  return await writeFamily(folder, manifest, [{ level, model: randomBytes(bytes) }]);
}

/**
 * The bundled architectures with other statistics of their batch norms, as after a calibration anew, with the
 * recipes that they are cut by.
 */
export async function recalibratedFamily(folder: string, version: number, scale: number): Promise<Family> {
  return await cutFamily(folder, version, (recipe) => {
    const cut = scaled(recipe, scale);
    return { cut, recipe: encodeRecipe(cut) };
  });
}

/** The same, each level cut in 32-bit floats, and without recipes. */
export async function floatFamily(folder: string, version: number, scale: number): Promise<Family> {
  return await cutFamily(folder, version, ({ quantisation: _, ...recipe }) => ({
    cut: scaled(recipe, scale),
  }));
}

function scaled(recipe: Recipe, scale: number): Recipe {
  const { mean, variance } = recipe;
  const times = (values: Float32Array): Float32Array => values.map((value) => value * scale);
  return { ...recipe, mean: times(mean), variance: times(variance) };
}

async function cutFamily(
  folder: string,
  version: number,
  change: (recipe: Recipe) => { readonly cut: Recipe; readonly recipe?: Uint8Array },
): Promise<Family> {
  const { manifest, folder: home } = await bundledFamily();
  const { format: _, levels, backbone, ...head } = manifest;
  const weights = await bundledBackbone();
  const files = [];
  for (const { model: _model, recipe, precision, ...level } of levels) {
    invariant(recipe !== undefined, 'the bundled levels have recipes');
    const path = recipePath(home, recipe);
    const next = change(decodeRecipe(await readWhole(path, recipe.bytes), path));
    const isFloat = next.cut.quantisation === undefined;
    files.push({
      level: { ...level, ...(precision !== undefined && !isFloat && { precision }) },
      model: cutModel(weights, next.cut),
      ...(next.recipe && { recipe: next.recipe }),
    });
  }
  const hasRecipes = files.some(({ recipe }) => recipe !== undefined);
  return await writeFamily(
    folder,
    { ...head, version, ...(hasRecipes && backbone !== undefined && { backbone }) },
    files,
  );
}

async function bundledBackbone(): Promise<Backbone> {
  const bytes = await readWhole(BACKBONE, 2 ** 30);
  return backboneOf(parseSafetensors(bytes, BACKBONE), { what: BACKBONE });
}
