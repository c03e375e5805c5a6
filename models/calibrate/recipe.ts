import { AppError } from '../../shared/errors.ts';
import type { Precision } from '../../shared/family/manifest.ts';
import type { Dataset } from '../datasets/dataset.ts';
import type { Architecture } from '../ofa/architecture.ts';
import type { Backbone } from '../ofa/backbone.ts';
import { packRanges } from '../ofa/cut.ts';
import { extractSubNetwork } from '../ofa/extract.ts';
import { withStatistics } from '../ofa/network.ts';
import { packStatistics, type Recipe } from '../ofa/recipe.ts';
import { batchesOf } from './batches.ts';
import { type CalibrationOptions, calibrate } from './calibrate.ts';
import { collectRanges } from './ranges.ts';

export interface RecipeOptions extends Pick<CalibrationOptions, 'threads' | 'onProgress' | 'signal'> {
  readonly backbone: Backbone;
  readonly architecture: Architecture;
  readonly precision: Precision;
  /** What the sub-network is to see: frames of the family's size. */
  readonly images: Dataset;
  /** Images that are normalised together; OFA takes 200. */
  readonly batchSize: number;
}

/**
 * Makes the recipe of a level: recomputes the batch-norm statistics of a sub-network on images, and for
 * int8 then takes the ranges of its activations on the same ones.
 * @throws AppError `invalid` when the images are not of the backbone's channels, or as `calibrate`
 */
export async function calibratedRecipe(options: RecipeOptions): Promise<Recipe> {
  const { backbone, architecture, precision, images, batchSize, ...run } = options;
  const [height, width, channels] = images.shape;
  if (channels !== backbone.space.inChannels) {
    throw new AppError(
      'invalid',
      `${images.name}: images of ${channels} channels, the backbone takes ${backbone.space.inChannels}`,
    );
  }
  const frame = [height, width] as const;
  const network = extractSubNetwork(backbone, architecture);
  const statistics = await calibrate(network, batchesOf(images, batchSize), { frame, ...run });
  const recipe = { backbone: backbone.id, architecture, frame, ...packStatistics(network, statistics) };
  if (precision === 'fp32') return recipe;
  const calibrated = withStatistics(network, statistics);
  const ranges = await collectRanges(calibrated, batchesOf(images, batchSize), { frame, ...run });
  return { ...recipe, quantisation: packRanges(calibrated, ranges) };
}
