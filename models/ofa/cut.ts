import { AppError } from '../../shared/errors.ts';
import type { Backbone } from './backbone.ts';
import { extractSubNetwork } from './extract.ts';
import { floatModel } from './graph/float-model.ts';
import type { InputForm } from './graph/input.ts';
import { type SubNetwork, withStatistics } from './network.ts';
import type { Range, Ranges } from './quantise/affine.ts';
import { int8Model, QUANTISER_VERSION, quantisedTensors } from './quantise/int8-model.ts';
import { type Quantisation, type Recipe, unpackStatistics } from './recipe.ts';

/**
 * Cuts the sub-network of a recipe out of its backbone, in 32-bit floats.
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
 * @throws AppError as `networkOf`, and for ranges that are not this quantiser's
 */
export function cutModel(
  backbone: Backbone,
  recipe: Recipe,
  form: InputForm = levelForm(recipe),
): Uint8Array {
  const network = networkOf(backbone, recipe);
  return recipe.quantisation === undefined
    ? floatModel(network, form)
    : int8Model(network, form, unpackRanges(network, recipe.quantisation));
}

/** A level takes one frame at a time. */
function levelForm({ frame }: Recipe): InputForm {
  return { type: 'uint8', frame, batch: 1 };
}

/** What an int8 recipe holds of its activations' ranges. */
export function packRanges(network: SubNetwork, ranges: Ranges): Quantisation {
  const flat = quantisedTensors(network).flatMap((name) => {
    const range = ranges.get(name);
    if (range === undefined) throw new AppError('invalid', `recipe: there is no range of ${name}`);
    return [range.min, range.max];
  });
  return { quantiser: QUANTISER_VERSION, ranges: Float32Array.from(flat) };
}

function unpackRanges(network: SubNetwork, { quantiser, ranges }: Quantisation): Ranges {
  if (quantiser !== QUANTISER_VERSION) {
    throw new AppError(
      'invalid',
      `recipe: quantised by rules of version ${quantiser}, this program has version ${QUANTISER_VERSION}`,
    );
  }
  const names = quantisedTensors(network);
  if (ranges.length !== 2 * names.length) {
    throw new AppError(
      'invalid',
      `recipe: ${ranges.length / 2} ranges of activations, the sub-network has ${names.length}`,
    );
  }
  const entries = names.map((name, index): [string, Range] => [
    name,
    { min: ranges[2 * index] ?? Number.NaN, max: ranges[2 * index + 1] ?? Number.NaN },
  ]);
  return new Map(entries);
}
