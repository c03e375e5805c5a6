import Type, { type Static } from 'typebox';
import { AppError } from '../../shared/errors.ts';
import { type Parser, parseJson, parserOf } from '../../shared/schema.ts';
import { type Architecture, type BlockShape, blockShapes, sizeAfter } from '../ofa/architecture.ts';
import type { SearchSpace } from '../ofa/space.ts';

/** Of a table as text: the published ones are 260 kB. */
export const MAX_LATENCY_TABLE_BYTES = 32 * 2 ** 20;

/** Longer than a day: no layer takes that, and sums stay finite. */
const MAX_MS = 1e8;

/** How long one layer took, over `count` runs. */
const LayerTimeSchema = Type.Object({
  mean: Type.Number({ minimum: 0, maximum: MAX_MS }),
  std: Type.Optional(Type.Number({ minimum: 0, maximum: MAX_MS })),
  count: Type.Optional(Type.Integer({ minimum: 1 })),
});
export type LayerTime = Readonly<Static<typeof LayerTimeSchema>>;

/**
 * Layers add up to less or more than whole networks take; measured on whole networks, this line is what one
 * takes: `offsetMs + scale * sum`.
 */
const CorrectionSchema = Type.Object({
  offsetMs: Type.Number({ minimum: -MAX_MS, maximum: MAX_MS }),
  scale: Type.Number({ exclusiveMinimum: 0, maximum: 1e6 }),
});
export type LatencyCorrection = Readonly<Static<typeof CorrectionSchema>>;

const LayersSchema = Type.Record(Type.String({ maxLength: 200 }), LayerTimeSchema, { maxProperties: 20_000 });

/** A latency table as it is written: the form that Dynamic-OFA's tables are published in, as JSON. */
export const LatencyTableFileSchema = Type.Object({
  device: Type.String({ maxLength: 200 }),
  unit: Type.Literal('ms'),
  source: Type.Optional(Type.String({ maxLength: 2_000 })),
  correction: Type.Optional(CorrectionSchema),
  resolutions: Type.Record(Type.String({ pattern: '^[1-9][0-9]{0,3}$' }), LayersSchema, {
    minProperties: 1,
    maxProperties: 256,
    additionalProperties: false,
  }),
});
export type LatencyTableFile = Static<typeof LatencyTableFileSchema>;

/** What each layer of the networks of a search space takes on one device, at each resolution. */
export interface LatencyTable {
  readonly device: string;
  readonly source?: string;
  readonly correction?: LatencyCorrection;
  /** By side of the image in pixels; then by the layer's key, see `layerKeys`. */
  readonly resolutions: ReadonlyMap<number, ReadonlyMap<string, LayerTime>>;
}

export interface LatencyOptions {
  /** Apply the table's correction for whole networks, where it has one. */
  readonly correct?: boolean;
}

/** Makes the parser of latency tables; it throws AppError `invalid` naming what does not fit. */
export function latencyTableParser(): Parser<LatencyTable> {
  const parse = parserOf(LatencyTableFileSchema);
  return (value, what) => {
    const { device, source, correction, resolutions } = parse(value, what);
    return {
      device,
      ...(source === undefined ? {} : { source }),
      ...(correction === undefined ? {} : { correction }),
      resolutions: new Map(
        Object.entries(resolutions).map(([side, layers]) => [Number(side), new Map(Object.entries(layers))]),
      ),
    };
  };
}

/**
 * Reads a latency table from the text of its file.
 * @throws AppError `invalid` for text that is too long, no JSON, or no latency table in milliseconds
 */
export function parseLatencyTable(text: string, what: string): LatencyTable {
  if (text.length > MAX_LATENCY_TABLE_BYTES) {
    throw new AppError(
      'invalid',
      `${what}: has ${text.length} characters, more than ${MAX_LATENCY_TABLE_BYTES}`,
    );
  }
  return parseJson(text, latencyTableParser(), what);
}

/** A table as it is written; `latencyTableParser` reads it back to an equal one. */
export function latencyTableFile({
  device,
  source,
  correction,
  resolutions,
}: LatencyTable): LatencyTableFile {
  return {
    device,
    unit: 'ms',
    ...(source === undefined ? {} : { source }),
    ...(correction === undefined ? {} : { correction }),
    resolutions: Object.fromEntries(
      [...resolutions].map(([side, layers]) => [String(side), Object.fromEntries(layers)]),
    ),
  };
}

/**
 * The table's keys of the layers that a network consists of, in their order; one that runs twice is there
 * twice: stem, fixed block, the blocks that run, and the four layers of the head.
 */
export function layerKeys(space: SearchSpace, architecture: Architecture): string[] {
  const { r } = architecture;
  const { stem, inChannels, finalExpandWidth, featureMixWidth, classes } = space;
  const blocks = blockShapes(space, architecture);
  const last = blocks.at(-1);
  const [side, width] = [last?.outSize ?? r, last?.outChannels ?? stem.width];
  return [
    `Conv-input:${map(r, inChannels)}-output:${map(sizeAfter(r, stem.stride), stem.width)}`,
    ...blocks.map(blockKey),
    `Conv_1-input:${map(side, width)}-output:${map(side, finalExpandWidth)}`,
    `AvgPool2D-input:${map(side, finalExpandWidth)}-output:${map(1, finalExpandWidth)}`,
    `Conv_2-input:${map(1, finalExpandWidth)}-output:${map(1, featureMixWidth)}`,
    `Logits-input:${map(1, featureMixWidth)}-output:${classes}`,
  ];
}

function map(side: number, channels: number): string {
  return `${side}x${side}x${channels}`;
}

function blockKey(block: BlockShape): string {
  const { inSize, inChannels, outSize, outChannels, midChannels, kernel, stride } = block;
  const flags = `idskip:${Number(block.shortcut)}-se:${Number(block.squeezeExcite)}`;
  return (
    `expanded_conv-input:${map(inSize, inChannels)}-output:${map(outSize, outChannels)}` +
    `-expand:${midChannels}-kernel:${kernel}-stride:${stride}-${flags}-hs:${Number(block.activation === 'h_swish')}`
  );
}

/**
 * Predicted latency of a network in ms: the sum of its layers.
 * @throws AppError `not-found` naming the resolution that the table does not have, `invalid` naming the layer
 */
export function latencyMs(
  table: LatencyTable,
  space: SearchSpace,
  architecture: Architecture,
  options: LatencyOptions = {},
): number {
  const keys = layerKeys(space, architecture);
  const sum = keys.reduce((ms, key) => ms + layerMs(table, architecture.r, key), 0);
  const { offsetMs, scale } = correctionOf(table, options);
  return offsetMs + scale * sum;
}

/** The line from the sum of layers to a whole network's latency: the identity where none is to be applied. */
export function correctionOf(table: LatencyTable, { correct = false }: LatencyOptions): LatencyCorrection {
  return (correct ? table.correction : undefined) ?? { offsetMs: 0, scale: 1 };
}

/**
 * Mean time of one layer in ms.
 * @throws AppError `not-found` naming the resolution, `invalid` naming the key: a table of the space has it
 */
export function layerMs(table: LatencyTable, resolution: number, key: string): number {
  const layers = table.resolutions.get(resolution);
  if (layers === undefined) {
    const known = [...table.resolutions.keys()].join(', ');
    throw new AppError(
      'not-found',
      `latency table of ${table.device}: has no resolution ${resolution}, only ${known}`,
    );
  }
  const time = layers.get(key);
  if (time === undefined) {
    throw new AppError(
      'invalid',
      `latency table of ${table.device}: is of another search space: it has no layer ${key} at resolution ${resolution}`,
    );
  }
  return time.mean;
}
