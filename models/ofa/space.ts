import Type, { type Static } from 'typebox';
import { AppError } from '../../shared/errors.ts';
import { type Parser, parserOf } from '../../shared/schema.ts';
import { normalisationProblem } from './normalisation.ts';

/** `h_swish` is x * relu6(x + 3) / 6. */
export type Activation = 'relu' | 'h_swish';

/** A run of blocks of one output width; only its first block has the stride. */
export interface Stage {
  readonly width: number;
  readonly stride: number;
  readonly activation: Activation;
  readonly squeezeExcite: boolean;
}

/**
 * The search space of a MobileNetV3-shaped Once-for-all super-network: everything that its weights do not
 * say by themselves. Widths are the actual ones, after any width multiplier.
 */
export interface SearchSpace {
  readonly inChannels: number;
  readonly classes: number;
  /** `first_conv`: 3x3. */
  readonly stem: { readonly width: number; readonly stride: number };
  /** `blocks.0`: depthwise 3x3 without expansion. */
  readonly firstBlock: { readonly width: number; readonly stride: number };
  readonly stages: readonly Stage[];
  readonly finalExpandWidth: number;
  readonly featureMixWidth: number;
  /** Ascending; the largest is the one that is stored, each smaller one is made of the next larger one. */
  readonly kernelSizes: readonly number[];
  readonly expandRatios: readonly number[];
  /** Blocks of a stage; every stage has as many stored as the largest. */
  readonly depths: readonly number[];
  readonly resolutions: readonly number[];
  /** Of pixels as 0..1, one value per input channel. */
  readonly mean: readonly number[];
  readonly std: readonly number[];
  /** [height, width] of the frames that a family of this space takes unless told otherwise. */
  readonly frame: readonly [number, number];
}

const Width = Type.Integer({ minimum: 1, maximum: 16_384 });
const Stride = Type.Integer({ minimum: 1, maximum: 4 });
const MAX_STAGES = 32;
const perStage = <T extends Type.TSchema>(item: T) => Type.Array(item, { minItems: 1, maxItems: MAX_STAGES });
const Choices = <T extends Type.TSchema>(item: T) => Type.Array(item, { minItems: 1, maxItems: 256 });
const PerChannel = Type.Union([Type.Number(), Type.Array(Type.Number(), { minItems: 1, maxItems: 16 })]);

/** A space as it is written: a JSON file, or `spec` in the metadata of a safetensors file. */
export const SpaceSpecSchema = Type.Object({
  in_channels: Type.Integer({ minimum: 1, maximum: 16 }),
  first: Width,
  first_stride: Stride,
  first_block: Width,
  first_block_stride: Stride,
  widths: perStage(Width),
  strides: perStage(Stride),
  acts: perStage(Type.Union([Type.Literal('relu'), Type.Literal('h_swish')])),
  se: perStage(Type.Boolean()),
  final_expand: Width,
  last: Width,
  n_classes: Type.Integer({ minimum: 2, maximum: 100_000 }),
  ks: Choices(Type.Integer({ minimum: 1, maximum: 15 })),
  e: Choices(Type.Number({ exclusiveMinimum: 0, maximum: 16 })),
  d: Choices(Type.Integer({ minimum: 1, maximum: 16 })),
  resolutions: Choices(Type.Integer({ minimum: 1, maximum: 4_096 })),
  mean: PerChannel,
  std: PerChannel,
  frame: Type.Optional(Type.Tuple([Width, Width])),
});
export type SpaceSpec = Static<typeof SpaceSpecSchema>;

/**
 * Makes the parser of written spaces.
 * @returns a parser that throws AppError `invalid` naming what does not fit
 */
export function spaceParser(): Parser<SearchSpace> {
  const parse = parserOf(SpaceSpecSchema);
  return (value, what) => {
    const spec = parse(value, what);
    const problem = problemOf(spec);
    if (problem !== undefined) throw new AppError('invalid', `${what}: ${problem}`);
    return spaceOf(spec);
  };
}

function problemOf(spec: SpaceSpec): string | undefined {
  const stages = spec.widths.length;
  for (const key of ['strides', 'acts', 'se'] as const) {
    if (spec[key].length !== stages) return `${key} has ${spec[key].length} entries for ${stages} stages`;
  }
  if (spec.ks.some((kernel) => kernel % 2 === 0)) return 'ks: kernel sizes are odd numbers';
  for (const key of ['mean', 'std'] as const) {
    const { length } = channels(spec[key], spec.in_channels);
    if (length !== spec.in_channels) return `${key} has ${length} values for ${spec.in_channels} channels`;
  }
  // OFA builds no expansion layers then, which is another network than this one.
  if (spec.e.every((ratio) => ratio === 1)) return 'e: expected another expand ratio than 1 among them';
  return normalisationProblem(channels(spec.mean, spec.in_channels), channels(spec.std, spec.in_channels));
}

function channels(value: number | number[], count: number): number[] {
  return typeof value === 'number' ? Array.from({ length: count }, () => value) : value;
}

function ascending(values: readonly number[]): number[] {
  return [...new Set(values)].sort((a, b) => a - b);
}

function spaceOf(spec: SpaceSpec): SearchSpace {
  const resolutions = ascending(spec.resolutions);
  const largest = resolutions.at(-1) ?? 1;
  return {
    inChannels: spec.in_channels,
    classes: spec.n_classes,
    stem: { width: spec.first, stride: spec.first_stride },
    firstBlock: { width: spec.first_block, stride: spec.first_block_stride },
    stages: spec.widths.map((width, index) => ({
      width,
      stride: spec.strides[index] ?? 1,
      activation: spec.acts[index] ?? 'relu',
      squeezeExcite: spec.se[index] ?? false,
    })),
    finalExpandWidth: spec.final_expand,
    featureMixWidth: spec.last,
    kernelSizes: ascending(spec.ks),
    expandRatios: ascending(spec.e),
    depths: ascending(spec.d),
    resolutions,
    mean: channels(spec.mean, spec.in_channels),
    std: channels(spec.std, spec.in_channels),
    frame: spec.frame ?? [largest, largest],
  };
}

/** A space as it is written; `spaceParser` reads it back to an equal one. */
export function specOf(space: SearchSpace): SpaceSpec {
  return {
    in_channels: space.inChannels,
    first: space.stem.width,
    first_stride: space.stem.stride,
    first_block: space.firstBlock.width,
    first_block_stride: space.firstBlock.stride,
    widths: space.stages.map(({ width }) => width),
    strides: space.stages.map(({ stride }) => stride),
    acts: space.stages.map(({ activation }) => activation),
    se: space.stages.map(({ squeezeExcite }) => squeezeExcite),
    final_expand: space.finalExpandWidth,
    last: space.featureMixWidth,
    n_classes: space.classes,
    ks: [...space.kernelSizes],
    e: [...space.expandRatios],
    d: [...space.depths],
    resolutions: [...space.resolutions],
    mean: [...space.mean],
    std: [...space.std],
    frame: [...space.frame],
  };
}

/** Blocks that are stored for each stage; an architecture runs some of them. */
export function blocksPerStage(space: SearchSpace): number {
  return Math.max(...space.depths);
}

/**
 * The multiple of `divisor` nearest to a number of channels, at least `divisor`, and no more than a tenth
 * below it (OFA's `make_divisible`, as in TensorFlow's MobileNet).
 */
export function makeDivisible(channels: number, divisor = 8): number {
  const nearest = Math.max(divisor, Math.floor((channels + divisor / 2) / divisor) * divisor);
  return nearest < 0.9 * channels ? nearest + divisor : nearest;
}
