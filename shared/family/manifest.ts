import Type, { type Static } from 'typebox';
import { AppError } from '../errors.ts';
import { IdSchema } from '../protocol/ids.ts';
import { type Parser, parserOf } from '../schema.ts';

const Sha256 = Type.String({ pattern: '^[0-9a-f]{64}$' });
const Dimension = Type.Integer({ minimum: 1, maximum: 16_384 });

/** A file by its content: a model lies as `blobs/<sha256>.onnx` beside the manifest. */
const BlobSchema = Type.Object({
  sha256: Sha256,
  bytes: Type.Integer({ minimum: 1, maximum: 2 ** 31 }),
});

/** One choice in a Once-for-all search space: kernel sizes, expand ratios, depths, resolution. */
export const ArchitectureSchema = Type.Object({
  ks: Type.Array(Type.Integer({ minimum: 1 }), { maxItems: 1_024 }),
  e: Type.Array(Type.Number({ exclusiveMinimum: 0 }), { maxItems: 1_024 }),
  d: Type.Array(Type.Integer({ minimum: 0 }), { maxItems: 1_024 }),
  r: Type.Array(Type.Integer({ minimum: 1 }), { maxItems: 1 }),
});

/** Of weights and activations. */
export const PrecisionSchema = Type.Union([Type.Literal('fp32'), Type.Literal('int8')]);
export type Precision = Static<typeof PrecisionSchema>;

/** One sub-network of a family. */
export const LevelSchema = Type.Object({
  model: BlobSchema,
  architecture: Type.Optional(ArchitectureSchema),
  /** fp32 where nothing is said. */
  precision: Type.Optional(PrecisionSchema),
  /** What a device that has the backbone can cut the model from; it lies as `blobs/<sha256>.recipe`. */
  recipe: Type.Optional(BlobSchema),
  /** Top-1 on the test set that `provenance` names, measured in ONNX Runtime, 0..1. */
  accuracy: Type.Number({ minimum: 0, maximum: 1 }),
  /** How many labelled images it was measured on. */
  accuracyImages: Type.Optional(Type.Integer({ minimum: 1 })),
  /** Median of one inference on the machine that built the family; every device measures for itself. */
  latencyMs: Type.Optional(Type.Number({ exclusiveMinimum: 0 })),
  /** Multiply-accumulate operations of one inference. */
  macs: Type.Integer({ minimum: 1 }),
});

/**
 * A family: sub-networks of one backbone, cheapest first, which all take the same input, so that a switch
 * is invisible to who asks. Normalisation and resizing are inside of each graph.
 */
export const ManifestSchema = Type.Object({
  format: Type.Literal(1),
  name: IdSchema,
  /** Only goes up. */
  version: Type.Integer({ minimum: 1 }),
  task: Type.Literal('image-classification'),
  labels: Type.Array(Type.String({ maxLength: 256 }), { minItems: 2, maxItems: 100_000 }),
  input: Type.Object({
    name: Type.String({ minLength: 1, maxLength: 256 }),
    type: Type.Literal('uint8'),
    /** [1, height, width, channels]. */
    shape: Type.Tuple([Type.Literal(1), Dimension, Dimension, Type.Integer({ minimum: 1, maximum: 4 })]),
  }),
  output: Type.Object({
    name: Type.String({ minLength: 1, maxLength: 256 }),
    type: Type.Literal('float32'),
    /** [1, classes]. */
    shape: Type.Tuple([Type.Literal(1), Type.Integer({ minimum: 2, maximum: 100_000 })]),
  }),
  levels: Type.Array(LevelSchema, { minItems: 1, maxItems: 64 }),
  /** The backbone that the recipes are for; `id` is a hash of its weights. */
  backbone: Type.Optional(Type.Object({ id: Sha256, name: Type.String({ maxLength: 256 }) })),
  /** Where the weights and the accuracy figures come from, for people. */
  provenance: Type.Record(Type.String(), Type.String({ maxLength: 2_048 })),
});
export type Manifest = Static<typeof ManifestSchema>;
export type Level = Static<typeof LevelSchema>;

/** Makes the parser of manifests: schema, then what a schema cannot say. */
export function manifestParser(): Parser<Manifest> {
  const parse = parserOf(ManifestSchema);
  return (value, what) => {
    const manifest = parse(value, what);
    const [, classes] = manifest.output.shape;
    if (manifest.labels.length !== classes) {
      throw new AppError('invalid', `${what}: ${manifest.labels.length} labels for ${classes} outputs`);
    }
    if (manifest.backbone === undefined && manifest.levels.some(({ recipe }) => recipe !== undefined)) {
      throw new AppError('invalid', `${what}: there are recipes, and no backbone that they are for`);
    }
    const disorder = disorderOf(manifest.levels);
    if (disorder !== undefined) {
      throw new AppError('invalid', `${what}: levels are not in order of cost, cheapest first: ${disorder}`);
    }
    return manifest;
  };
}

/**
 * The first level that costs less than the one before it: by latency where every level states one, for an
 * int8 level may be quicker than one of fewer operations; else by operations.
 */
function disorderOf(levels: readonly Level[]): string | undefined {
  const latencies = levels.flatMap(({ latencyMs }) => latencyMs ?? []);
  const byLatency = latencies.length === levels.length;
  const costs = byLatency ? latencies : levels.map(({ macs }) => macs);
  const index = costs.findIndex((cost, level) => cost < (costs[level - 1] ?? 0));
  if (index < 0) return undefined;
  const unit = byLatency ? 'ms' : 'multiply-accumulates';
  return `level ${index} has ${costs[index]} ${unit}, level ${index - 1} has ${costs[index - 1]}`;
}
