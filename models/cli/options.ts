import type { Command } from 'commander';
import { addExamplesOf } from '../../shared/cli/output.ts';
import { parseFraction } from '../../shared/cli/values.ts';
import { AppError } from '../../shared/errors.ts';
import { readWhole } from '../../shared/files.ts';
import type { ImageShape } from '../../shared/images/decode.ts';
import { type Parser, parseJson } from '../../shared/schema.ts';
import { backbonePath, bundledLabels, datasetSpec } from '../bundled.ts';
import { readCheckpoint } from '../checkpoint/read.ts';
import type { Dataset, DatasetOptions } from '../datasets/dataset.ts';
import { shortList } from '../datasets/folder.ts';
import { parseLabels } from '../datasets/labels.ts';
import { openDataset } from '../datasets/open.ts';
import {
  type Architecture,
  architectureParser,
  checkArchitecture,
  extremeArchitecture,
} from '../ofa/architecture.ts';
import { type Backbone, backboneOf } from '../ofa/backbone.ts';
import { type SearchSpace, spaceParser } from '../ofa/space.ts';
import { KNOWN_SPACES } from '../ofa/spaces.ts';
import type { Cli } from './context.ts';

/** A JSON file of ours larger than this is none. */
const MAX_JSON_BYTES = 64 * 1024 * 1024;
const MAX_LABELS_BYTES = 16 * 1024 * 1024;

/** The backbone that comes with the program. */
const BUNDLED_BACKBONE = 'fashion-mnist';

/** The option that names a backbone. */
export interface BackboneOptions {
  readonly backbone: string;
  readonly space?: string;
}

/** Adds `--backbone` and `--space`. */
export function addBackbone(command: Command): Command {
  return command
    .option(
      '--backbone <file>',
      'weights: .pth or .safetensors, or the name of a bundled backbone',
      BUNDLED_BACKBONE,
    )
    .option('--space <file>', 'their search space as JSON, where the file does not say it itself');
}

/** Adds examples to a command's help. */
export function addExamples(command: Command, ...examples: readonly string[]): Command {
  return addExamplesOf('ofa-models', command, examples);
}

/** Reads the backbone that the options name. */
export async function loadBackbone({ backbone, space }: BackboneOptions): Promise<Backbone> {
  const path = backbonePath(backbone);
  const stated = space === undefined ? {} : { space: await readJson(space, spaceParser()) };
  return backboneOf(await readCheckpoint(path), { what: path, ...stated });
}

/** Reads the space that an option names: a known one, a JSON file, or that of a file of weights. */
export async function loadSpace(text: string): Promise<SearchSpace> {
  const known = KNOWN_SPACES.get(text);
  if (known !== undefined) return known;
  return text.endsWith('.json')
    ? await readJson(text, spaceParser())
    : (await loadBackbone({ backbone: text })).space;
}

/**
 * Reads a JSON file.
 * @throws AppError `not-found`, `system` or `invalid` naming it
 */
export async function readJson<T>(path: string, parse: Parser<T>): Promise<T> {
  return parseJson(new TextDecoder().decode(await readWhole(path, MAX_JSON_BYTES)), parse, path);
}

/** How an architecture is named: a file, or one of two words. */
export const ARCHITECTURE_HELP = 'JSON file {"ks":[..],"e":[..],"d":[..],"r":[n]}, or smallest, or largest';

/**
 * Reads the architecture that an option names, and checks that the space has it.
 * @param resolution instead of its own
 * @throws AppError `invalid` saying which entry is not in the space
 */
export async function loadArchitecture(
  space: SearchSpace,
  text: string,
  resolution?: number,
): Promise<Architecture> {
  const named =
    text === 'smallest' || text === 'largest'
      ? extremeArchitecture(space, text)
      : await readJson(text, architectureParser());
  const architecture = resolution === undefined ? named : { ...named, r: resolution };
  checkArchitecture(space, architecture, text);
  return architecture;
}

/** Opens the data set that an option names. */
export function loadDataset(text: string, options: DatasetOptions): Promise<Dataset> {
  return openDataset(datasetSpec(text), options);
}

/** How images of files are read. */
export interface DataFlags {
  readonly crop?: string;
}

/** Adds `--crop`, which `datasetOptions` reads. */
export function addCrop(command: Command): Command {
  return command.option(
    '--crop <share>',
    'crop decoded images to their centre before resizing, as ImageNet does with 0.875; default stretch them',
  );
}

/**
 * What the options say about every data set of a command, for `loadDataset`.
 * @throws AppError `usage`
 */
export function datasetOptions({ crop }: DataFlags): Pick<DatasetOptions, 'crop'> {
  if (crop === undefined) return {};
  const share = parseFraction(crop, '--crop');
  if (share > 0) return { crop: share };
  throw new AppError('usage', `--crop: '${crop}' leaves nothing of an image; write for example 0.875`);
}

/** Adds `--labels`, which `loadLabels` reads. */
export function addLabels(command: Command): Command {
  return command.option(
    '--labels <file>',
    "the classes' names in the model's order: a JSON list, or one a line",
  );
}

/**
 * Reads the class names of `--labels`.
 * @param backbone as it was named: without `--labels`, one that is bundled has names of its own
 * @returns undefined where neither says them
 * @throws AppError `not-found`, `system` or `invalid` naming the file
 */
export async function loadLabels(path: string | undefined, backbone?: string): Promise<string[] | undefined> {
  const from = path ?? (backbone === undefined ? undefined : bundledLabels(backbone));
  if (from === undefined) return undefined;
  return parseLabels(new TextDecoder().decode(await readWhole(from, MAX_LABELS_BYTES)), from);
}

/** What says how a command's labelled images are to be. */
export interface LabelledFlags extends DataFlags, BackboneOptions {
  readonly labels?: string;
  readonly frame?: string;
}

/**
 * How labelled images for a backbone are opened: frames of its channels, classes in its order.
 * @throws AppError as `frameShape`, `loadLabels` and `datasetOptions`
 */
export async function labelledOptions(
  { space }: Backbone,
  flags: LabelledFlags,
  signal: AbortSignal,
): Promise<DatasetOptions> {
  const labels = await loadLabels(flags.labels, flags.backbone);
  return {
    shape: frameShape(space, flags.frame),
    ...(labels === undefined ? {} : { labels }),
    ...datasetOptions(flags),
    signal,
  };
}

/** Says so where classes have only the order of their names, which is often not the model's. */
export function noteLabelOrder(
  { note }: Pick<Cli, 'note'>,
  { name, labels = [], labelOrder }: Pick<Dataset, 'name' | 'labels' | 'labelOrder'>,
): void {
  if (labelOrder !== 'guessed') return;
  note(
    `${name}: its classes are numbered in the order of their names: ${shortList(labels)}; --labels FILE gives the model's order`,
  );
}

const SIZE = /^([1-9]\d{0,3})x([1-9]\d{0,3})$/;

/**
 * A size as it is typed, `HEIGHTxWIDTH`.
 * @throws AppError `usage`
 */
export function parseSize(text: string, what: string): [height: number, width: number] {
  const [, height, width] = SIZE.exec(text) ?? [];
  if (height !== undefined) return [Number(height), Number(width)];
  throw new AppError('usage', `${what}: '${text}' is no size; write for example 224x224, height first`);
}

/**
 * The frames that a family takes: of the size that was typed, or the space's own.
 * @returns [height, width, channels]
 */
export function frameShape(space: SearchSpace, text: string | undefined): ImageShape {
  const size = text === undefined ? space.frame : parseSize(text, '--frame');
  return [...size, space.inChannels];
}
