import { AppError } from '../../shared/errors.ts';
import type { Backbone } from './backbone.ts';
import { extractSubNetwork } from './extract.ts';
import { floatModel } from './graph/float-model.ts';
import type { InputForm } from './graph/input.ts';
import { type SubNetwork, withStatistics } from './network.ts';
import { type Recipe, unpackStatistics } from './recipe.ts';

/**
 * Cuts the sub-network of a recipe out of its backbone.
 * @throws AppError `invalid` when the recipe is another backbone's, or does not fit it
 */
export function networkOf(backbone: Backbone, recipe: Recipe): SubNetwork {
  if (recipe.backbone !== backbone.id) {
    throw new AppError(
      'invalid',
      `recipe: it is for the backbone ${recipe.backbone}, not for ${backbone.id}`,
    );
  }
  const network = extractSubNetwork(backbone, recipe.architecture);
  return withStatistics(network, unpackStatistics(network, recipe));
}

/**
 * The ONNX file of a recipe: as a family's level, or in another input form. The same backbone and recipe
 * give the identical bytes on every machine.
 * @throws AppError as `networkOf`
 */
export function cutModel(
  backbone: Backbone,
  recipe: Recipe,
  form: InputForm = levelForm(recipe),
): Uint8Array {
  return floatModel(networkOf(backbone, recipe), form);
}

/** A level takes one frame at a time. */
function levelForm({ frame }: Recipe): InputForm {
  return { type: 'uint8', frame, batch: 1 };
}
