import Type, { type Static } from 'typebox';
import { AppError } from '../../shared/errors.ts';
import { type Parser, parserOf } from '../../shared/schema.ts';
import { roundHalfEven } from './round.ts';
import { type Activation, blocksPerStage, makeDivisible, type SearchSpace } from './space.ts';

/**
 * One choice in a search space. `ks` and `e` have an entry for every stored block, stage after stage; those
 * of blocks that do not run mean nothing.
 */
export interface Architecture {
  /** Kernel sizes. */
  readonly ks: readonly number[];
  /** Expand ratios. */
  readonly e: readonly number[];
  /** How many blocks of each stage run. */
  readonly d: readonly number[];
  /** Resolution: the side of the square that the network sees, in pixels. */
  readonly r: number;
}

const Numbers = Type.Array(Type.Number(), { maxItems: 1_024 });

/** An architecture as it is written; `r` is a list of one, as in OFA's own files, or the number. */
export const ArchitectureFileSchema = Type.Object({
  ks: Numbers,
  e: Numbers,
  d: Numbers,
  r: Type.Union([Type.Number(), Type.Array(Type.Number(), { minItems: 1, maxItems: 1 })]),
});

/** Makes the parser of written architectures: their form, not yet whether a space has them. */
export function architectureParser(): Parser<Architecture> {
  const parse = parserOf(ArchitectureFileSchema);
  return (value, what) => {
    const { ks, e, d, r }: Static<typeof ArchitectureFileSchema> = parse(value, what);
    return { ks, e, d, r: typeof r === 'number' ? r : (r[0] ?? Number.NaN) };
  };
}

/** An architecture as OFA's files, the manifest and recipes have it. */
export function writtenArchitecture({ ks, e, d, r }: Architecture): {
  ks: number[];
  e: number[];
  d: number[];
  r: number[];
} {
  return { ks: [...ks], e: [...e], d: [...d], r: [r] };
}

/**
 * Refuses an architecture that is not in the space.
 * @throws AppError `invalid` naming the entry, what it is and what it may be
 */
export function checkArchitecture(space: SearchSpace, architecture: Architecture, what: string): void {
  const stages = space.stages.length;
  const blocks = stages * blocksPerStage(space);
  const lists = [
    { key: 'ks', values: architecture.ks, length: blocks, choices: space.kernelSizes },
    { key: 'e', values: architecture.e, length: blocks, choices: space.expandRatios },
    { key: 'd', values: architecture.d, length: stages, choices: space.depths },
    { key: 'r', values: [architecture.r], length: 1, choices: space.resolutions },
  ];
  for (const { key, values, length, choices } of lists) {
    if (values.length !== length) {
      throw new AppError('invalid', `${what}: ${key} has ${values.length} entries, the space has ${length}`);
    }
    const index = values.findIndex((value) => !choices.includes(value));
    if (index >= 0) {
      const place = key === 'r' ? key : `${key}[${index}]`;
      throw new AppError(
        'invalid',
        `${what}: ${place} is ${values[index]}, the space has ${choices.join(', ')}`,
      );
    }
  }
}

/**
 * The same sub-network with the entries of blocks that do not run set to the space's smallest: two
 * architectures are one sub-network exactly if their canonical forms are equal.
 */
export function canonicalArchitecture(space: SearchSpace, architecture: Architecture): Architecture {
  const perStage = blocksPerStage(space);
  const runs = (index: number): boolean =>
    index % perStage < (architecture.d[Math.floor(index / perStage)] ?? 0);
  const smallest = (choices: readonly number[]): number => Math.min(...choices);
  return {
    ks: architecture.ks.map((kernel, index) => (runs(index) ? kernel : smallest(space.kernelSizes))),
    e: architecture.e.map((ratio, index) => (runs(index) ? ratio : smallest(space.expandRatios))),
    d: architecture.d,
    r: architecture.r,
  };
}

/** The architecture with the smallest, or the largest, of every choice. */
export function extremeArchitecture(space: SearchSpace, which: 'smallest' | 'largest'): Architecture {
  const pick = (choices: readonly number[]): number => choices.at(which === 'smallest' ? 0 : -1) ?? 0;
  const blocks = space.stages.length * blocksPerStage(space);
  const repeat = (choices: readonly number[], count: number): number[] =>
    Array.from({ length: count }, () => pick(choices));
  return {
    ks: repeat(space.kernelSizes, blocks),
    e: repeat(space.expandRatios, blocks),
    d: repeat(space.depths, space.stages.length),
    r: pick(space.resolutions),
  };
}

/** A block that runs: its place in the super-network, its channels, and the size of what goes in and out. */
export interface BlockShape {
  /** The block's number in the super-network: `blocks.N`; 0 is the fixed one. */
  readonly slot: number;
  readonly inChannels: number;
  /** Channels of the depthwise convolution; the fixed block has no expansion: its input's. */
  readonly midChannels: number;
  readonly outChannels: number;
  readonly kernel: number;
  readonly stride: number;
  readonly activation: Activation;
  readonly squeezeExcite: boolean;
  /** Whether the block's input is added to its output. */
  readonly shortcut: boolean;
  /** Sides of the square maps, in pixels. */
  readonly inSize: number;
  readonly outSize: number;
}

/** Side of what a convolution with padding k // 2 gives. */
export function sizeAfter(size: number, stride: number): number {
  return Math.floor((size - 1) / stride) + 1;
}

/** The blocks that an architecture of the space runs, in their order, the fixed block first. */
export function blockShapes(space: SearchSpace, architecture: Architecture): BlockShape[] {
  const { stem, firstBlock } = space;
  const shapes = [
    blockShape({
      slot: 0,
      inChannels: stem.width,
      midChannels: stem.width,
      outChannels: firstBlock.width,
      kernel: 3,
      stride: firstBlock.stride,
      activation: 'relu',
      squeezeExcite: false,
      inSize: sizeAfter(architecture.r, stem.stride),
    }),
  ];
  const perStage = blocksPerStage(space);
  for (const [index, stage] of space.stages.entries()) {
    for (let depth = 0; depth < (architecture.d[index] ?? 0); depth += 1) {
      const place = index * perStage + depth;
      const before = shapes.at(-1);
      const inChannels = before?.outChannels ?? firstBlock.width;
      shapes.push(
        blockShape({
          slot: 1 + place,
          inChannels,
          midChannels: midChannels(inChannels, architecture.e[place] ?? Number.NaN),
          outChannels: stage.width,
          kernel: architecture.ks[place] ?? Number.NaN,
          stride: depth === 0 ? stage.stride : 1,
          activation: stage.activation,
          squeezeExcite: stage.squeezeExcite,
          inSize: before?.outSize ?? architecture.r,
        }),
      );
    }
  }
  return shapes;
}

/** Channels of an expanded block: OFA's `make_divisible(round(in_channels * expand_ratio))`, in Python. */
export function midChannels(inChannels: number, expandRatio: number): number {
  return makeDivisible(roundHalfEven(inChannels * expandRatio));
}

/** Channels of a squeeze-excite's inner layer. */
export function squeezeChannels(channels: number): number {
  return makeDivisible(Math.floor(channels / 4));
}

function blockShape(shape: Omit<BlockShape, 'outSize' | 'shortcut'>): BlockShape {
  return {
    ...shape,
    outSize: sizeAfter(shape.inSize, shape.stride),
    shortcut: shape.stride === 1 && shape.inChannels === shape.outChannels,
  };
}
