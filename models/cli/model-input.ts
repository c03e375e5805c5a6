import type { Command } from 'commander';
import { AppError } from '../../shared/errors.ts';
import type { ImageShape } from '../../shared/images/decode.ts';
import type { DatasetOptions } from '../datasets/dataset.ts';
import type { FrameForm, ModelForm, NormalisedForm } from '../evaluate/input-form.ts';
import type { Preprocess } from '../evaluate/preprocess.ts';
import type { Cli } from './context.ts';
import { type BackboneOptions, loadBackbone, parseSize } from './options.ts';

/** What a model of an ONNX file cannot say of its input itself. */
export interface ModelInputFlags extends BackboneOptions {
  readonly model?: string;
  readonly frame?: string;
  readonly mean?: string;
  readonly std?: string;
}

/** Adds `--mean` and `--std`. */
export function addModelInput(command: Command): Command {
  return command
    .option(
      '--mean <values>',
      "of a --model that takes float32: of pixels as 0..1, one number or one per channel; default the backbone's",
    )
    .option('--std <values>', 'of the same pixels, with --mean');
}

/** How images are brought to what a model takes. */
export interface ModelInput {
  readonly data: Pick<DatasetOptions, 'shape' | 'fileShape'>;
  readonly preprocess?: Preprocess;
}

/**
 * How images are brought to what a model takes: as far as the model says it, then as the options do. A model
 * of floats without mean and std has those of the backbone, and its frames.
 * @throws AppError `usage` when the options do not fit the model, other codes for the backbone's file
 */
export async function modelInput(
  cli: Pick<Cli, 'note'>,
  form: ModelForm,
  options: ModelInputFlags,
): Promise<ModelInput> {
  const { input } = form;
  if ((options.mean === undefined) !== (options.std === undefined)) {
    throw new AppError('usage', 'give --mean and --std together');
  }
  const size = options.frame === undefined ? undefined : parseSize(options.frame, '--frame');
  if (input.kind === 'normalised') return await normalisedInput(cli, input, options, size);
  if (options.mean !== undefined) {
    throw new AppError('usage', `--mean: ${options.model} takes frames and normalises them itself`);
  }
  return { data: frameData(input, options, size) };
}

type FrameSize = readonly [height: number, width: number];

function frameData(
  { shape: [height, width, channels] }: FrameForm,
  { model, frame }: ModelInputFlags,
  size: FrameSize | undefined,
): ModelInput['data'] {
  const [askedHeight = height, askedWidth = width] = size ?? [];
  if ((height ?? askedHeight) !== askedHeight || (width ?? askedWidth) !== askedWidth) {
    throw new AppError('usage', `--frame: ${model} takes ${height ?? '?'}x${width ?? '?'}, not ${frame}`);
  }
  if (askedHeight === undefined || askedWidth === undefined || channels === undefined) return {};
  return { shape: [askedHeight, askedWidth, channels] };
}

async function normalisedInput(
  cli: Pick<Cli, 'note'>,
  input: NormalisedForm,
  options: ModelInputFlags,
  size: FrameSize | undefined,
): Promise<ModelInput> {
  const { mean, std, frame } = await normalisation(cli, input, options);
  const { resolution } = input;
  if (resolution !== undefined) {
    const shape: ImageShape = [...(size ?? frame ?? [resolution, resolution]), mean.length];
    return { data: size === undefined ? { fileShape: shape } : { shape }, preprocess: { mean, std } };
  }
  if (size === undefined || size[0] !== size[1]) {
    throw new AppError('usage', `${options.model}: leaves its resolution open; give a square --frame`);
  }
  const [side] = size;
  return { data: { fileShape: [side, side, mean.length] }, preprocess: { mean, std, resolution: side } };
}

interface Normalisation {
  readonly mean: readonly number[];
  readonly std: readonly number[];
  /** Of the backbone that they come from. */
  readonly frame?: FrameSize;
}

async function normalisation(
  cli: Pick<Cli, 'note'>,
  { channels }: NormalisedForm,
  options: ModelInputFlags,
): Promise<Normalisation> {
  const { mean, std, model, backbone } = options;
  if (mean !== undefined && std !== undefined) return typedNormalisation(mean, std, channels);
  const { space } = await loadBackbone(options);
  if (channels !== undefined && channels !== space.inChannels) {
    throw new AppError(
      'usage',
      `${model}: takes ${channels} channels of normalised floats; give --mean and --std`,
    );
  }
  cli.note(
    `${model}: takes normalised floats; mean ${space.mean.join()} and std ${space.std.join()} are those of --backbone ${backbone}`,
  );
  return { mean: space.mean, std: space.std, frame: space.frame };
}

function typedNormalisation(mean: string, std: string, channels: number | undefined): Normalisation {
  const means = parseNumbers(mean, '--mean');
  const stds = parseNumbers(std, '--std');
  if (means.some((value) => value < 0 || value > 1)) {
    throw new AppError('usage', `--mean: '${mean}', expected 0 to 1, of pixels that are divided by 255`);
  }
  if (stds.some((value) => value <= 0)) {
    throw new AppError('usage', `--std: '${std}', expected numbers above 0`);
  }
  const count = channels ?? Math.max(means.length, stds.length);
  return { mean: perChannel(means, count, '--mean'), std: perChannel(stds, count, '--std') };
}

function perChannel(values: readonly number[], channels: number, what: string): readonly number[] {
  const [first, ...others] = values;
  if (first !== undefined && others.length === 0) return Array<number>(channels).fill(first);
  if (values.length === channels) return values;
  throw new AppError('usage', `${what}: ${values.length} values for ${channels} channels`);
}

const NUMBER = /^\s*[+-]?(\d+\.?\d*|\.\d+)(e[+-]?\d{1,2})?\s*$/i;

function parseNumbers(text: string, what: string): number[] {
  const parts = text.split(',');
  if (parts.every((part) => NUMBER.test(part))) return parts.map(Number);
  throw new AppError('usage', `${what}: '${text}', expected a number, or one per channel: 0.485,0.456,0.406`);
}
