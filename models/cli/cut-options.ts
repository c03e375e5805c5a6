import { type Command, Option } from 'commander';
import { parseCount } from '../../shared/cli/values.ts';
import { AppError } from '../../shared/errors.ts';
import type { Precision } from '../../shared/family/manifest.ts';
import { readWhole } from '../../shared/files.ts';
import { calibratedRecipe } from '../calibrate/recipe.ts';
import type { Dataset } from '../datasets/dataset.ts';
import type { Architecture } from '../ofa/architecture.ts';
import type { Backbone } from '../ofa/backbone.ts';
import { extractSubNetwork } from '../ofa/extract.ts';
import { batchNorms } from '../ofa/network.ts';
import { decodeRecipe, packStatistics, type Recipe } from '../ofa/recipe.ts';
import type { Cli } from './context.ts';
import {
  ARCHITECTURE_HELP,
  addBackbone,
  addCrop,
  type BackboneOptions,
  type DataFlags,
  datasetOptions,
  frameShape,
  loadArchitecture,
  loadBackbone,
  loadDataset,
} from './options.ts';

const MAX_RECIPE_BYTES = 64 * 1024 * 1024;
/** As OFA does: 2,000 training images, 200 at a time. */
const DEFAULT_IMAGES = '2000';
const DEFAULT_BATCH = '200';

/** How batch norms are recalibrated. */
export interface CalibrationFlags extends DataFlags {
  readonly calibration?: string;
  readonly calibrationImages: string;
  readonly batchSize: string;
}

/** How a sub-network is to be cut. */
export interface CutOptions extends BackboneOptions, CalibrationFlags {
  readonly arch?: string;
  readonly resolution?: string;
  readonly recipe?: string;
  readonly frame?: string;
  readonly precision: Precision;
}

/** Adds `--calibration`, `--calibration-images`, `--batch-size` and `--crop`. */
export function addCalibration(command: Command): Command {
  command
    .option(
      '--calibration <data>',
      'images to recompute the batch-norm statistics on; they need no labels, a folder of images will do',
    )
    .option(
      '--calibration-images <n>',
      'how many of them: the first ones of IDX, a spread choice of files',
      DEFAULT_IMAGES,
    )
    .option('--batch-size <n>', 'images that are normalised together', DEFAULT_BATCH);
  return addCrop(command);
}

/** Adds what says which sub-network is cut, and how. */
export function addCut(command: Command): Command {
  addBackbone(command)
    .option('--arch <file>', ARCHITECTURE_HELP)
    .option('--resolution <n>', "instead of the architecture's own")
    .option('--recipe <file>', 'cut what a recipe says, instead of --arch and --calibration')
    .option('--frame <HxW>', "size of the frames; default the backbone's own")
    .addOption(new Option('--precision <name>', 'of the layers').choices(['fp32', 'int8']).default('fp32'));
  return addCalibration(command);
}

/** A backbone and what to cut from it. */
export interface Cut {
  readonly backbone: Backbone;
  readonly recipe: Recipe;
  /** Whether its statistics are its own, or those that the backbone has. */
  readonly calibrated: boolean;
}

/**
 * Does what the options say, as far as the recipe.
 * @throws AppError `usage` when they contradict each other
 */
export async function prepareCut(cli: Cli, options: CutOptions, signal: AbortSignal): Promise<Cut> {
  if ((options.arch === undefined) === (options.recipe === undefined)) {
    throw new AppError('usage', 'give either --arch or --recipe');
  }
  const backbone = await loadBackbone(options);
  if (options.recipe !== undefined) {
    refuseBeside(options);
    const recipe = decodeRecipe(await readWhole(options.recipe, MAX_RECIPE_BYTES), options.recipe);
    return { backbone, recipe, calibrated: !isAsStored(backbone, recipe) };
  }
  const resolution =
    options.resolution === undefined ? undefined : parseCount(options.resolution, '--resolution');
  const architecture = await loadArchitecture(backbone.space, options.arch ?? '', resolution);
  if (options.calibration !== undefined) {
    return {
      backbone,
      recipe: await calibrated(cli, backbone, architecture, options, signal),
      calibrated: true,
    };
  }
  if (options.precision === 'int8') {
    throw new AppError('usage', '--precision int8 needs images: give --calibration');
  }
  return { backbone, recipe: asStored(backbone, architecture, options.frame), calibrated: false };
}

/** @throws AppError `usage` for options that a recipe has answered */
function refuseBeside({ resolution, frame, calibration, precision }: CutOptions): void {
  const given = { resolution, frame, calibration, precision: precision === 'fp32' ? undefined : precision };
  const [first] = Object.entries(given).find(([, value]) => value !== undefined) ?? [];
  if (first !== undefined) throw new AppError('usage', `--recipe says it all: leave --${first} out`);
}

function isAsStored(backbone: Backbone, { architecture, mean, variance }: Recipe): boolean {
  const stored = asStored(backbone, architecture, undefined);
  const same = (a: Float32Array, b: Float32Array): boolean =>
    a.length === b.length && a.every((value, index) => value === b[index]);
  return same(stored.mean, mean) && same(stored.variance, variance);
}

/** A recipe with the statistics that the backbone has. */
function asStored(backbone: Backbone, architecture: Architecture, frame: string | undefined): Recipe {
  const network = extractSubNetwork(backbone, architecture);
  const [height, width] = frameShape(backbone.space, frame);
  const statistics = new Map(batchNorms(network).map((norm) => [norm.name, norm]));
  return {
    backbone: backbone.id,
    architecture,
    frame: [height, width],
    ...packStatistics(network, statistics),
  };
}

async function calibrated(
  cli: Cli,
  backbone: Backbone,
  architecture: Architecture,
  options: CutOptions,
  signal: AbortSignal,
): Promise<Recipe> {
  const images = await openCalibration(backbone, options, options.frame, signal, cli.note);
  const progress = cli.progress('calibration');
  const recipe = await calibratedRecipe({
    backbone,
    architecture,
    precision: options.precision,
    images,
    batchSize: parseCount(options.batchSize, '--batch-size'),
    onProgress: (done) => progress.update(done, images.count),
    signal,
  });
  progress.done();
  return recipe;
}

/** @throws AppError `usage` where no images to calibrate on are named */
export function needCalibration({ calibration }: CalibrationFlags): void {
  if (calibration !== undefined) return;
  throw new AppError('usage', 'sub-networks need statistics of their own: give images with --calibration');
}

/**
 * The images that `--calibration` names, as many as asked for; their labels do not matter.
 * @param note is told when there are fewer
 */
export async function openCalibration(
  { space }: Backbone,
  options: CalibrationFlags,
  frame: string | undefined,
  signal: AbortSignal,
  note: (line: string) => void,
): Promise<Dataset> {
  const { calibration = '', calibrationImages } = options;
  const wanted = parseCount(calibrationImages, '--calibration-images');
  const dataset = await loadDataset(calibration, {
    ...datasetOptions(options),
    shape: frameShape(space, frame),
    count: wanted,
    unlabelled: true,
    signal,
  });
  if (dataset.count < wanted) {
    note(`${dataset.name}: has ${dataset.count} images to calibrate on, ${wanted} were asked for`);
  }
  return dataset;
}
