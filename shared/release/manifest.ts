import Type, { type Static } from 'typebox';
import { AppError } from '../errors.ts';
import { PrecisionSchema } from '../family/manifest.ts';
import { IdSchema } from '../protocol/ids.ts';
import { CHUNK_BYTES, MAX_BLOB_BYTES, RELEASE_KINDS, Sha256Schema } from '../protocol/release.ts';
import { type Parser, parserOf } from '../schema.ts';

/** All blobs of a release together; what is larger is no family for a Jetson. */
export const MAX_TOTAL_BYTES = 16 * 2 ** 30;

/** What a blob of a release is. */
export const BLOB_ROLES = ['family', 'model', 'recipe', 'backbone', 'program'] as const;
export type BlobRole = (typeof BLOB_ROLES)[number];

const ReleaseBlobSchema = Type.Object({
  role: Type.Enum([...BLOB_ROLES]),
  sha256: Sha256Schema,
  bytes: Type.Integer({ minimum: 1, maximum: MAX_BLOB_BYTES }),
  /** SHA-256 of every chunk, in order. */
  chunks: Type.Array(Sha256Schema, { minItems: 1, maxItems: MAX_BLOB_BYTES / CHUNK_BYTES }),
});
export type ReleaseBlob = Static<typeof ReleaseBlobSchema>;

const TimeSchema = Type.Number({ minimum: 0, maximum: 8.64e15 });

/** Which machines a release fits; a field that is not there fits all. */
const HardwareSchema = Type.Object({
  /** As `process.arch` says: `arm64`, `x64`. */
  arch: Type.Optional(Type.Array(Type.String({ maxLength: 32 }), { minItems: 1, maxItems: 16 })),
  /** A part of the board's name, in any case: `Orin Nano`. */
  models: Type.Optional(
    Type.Array(Type.String({ minLength: 1, maxLength: 128 }), { minItems: 1, maxItems: 64 }),
  ),
  minMemoryBytes: Type.Optional(Type.Number({ minimum: 0 })),
});
export type HardwareFit = Static<typeof HardwareSchema>;

/**
 * What is signed: the exact bytes of this document, as JSON. It names every file of the release by its content, so
 * that the signature holds for all of them.
 */
export const ReleaseManifestSchema = Type.Object({
  format: Type.Literal(1),
  document: Type.Literal('release'),
  kind: Type.Enum([...RELEASE_KINDS]),
  name: IdSchema,
  /** Only goes up. */
  version: Type.Integer({ minimum: 1, maximum: Number.MAX_SAFE_INTEGER }),
  /** When it was signed, and until when it may be installed, milliseconds since the epoch. */
  createdTs: TimeSchema,
  expiresTs: TimeSchema,
  /** Oldest version of the agent that can install it, such as `0.2.0`. */
  minAgent: Type.Optional(Type.String({ pattern: '^\\d{1,6}\\.\\d{1,6}\\.\\d{1,6}$' })),
  hardware: Type.Optional(HardwareSchema),
  /** `full`: models are blobs. `recipes`: the device cuts them from the backbone. Of a family only. */
  form: Type.Optional(Type.Union([Type.Literal('full'), Type.Literal('recipes')])),
  /** Of a family of recipes: `id` is a hash of the weights, whatever file they are in. */
  backbone: Type.Optional(Type.Object({ id: Sha256Schema, sha256: Sha256Schema })),
  /** Of a program: what it needs beside its own files. */
  program: Type.Optional(
    Type.Object({
      /** As `package.json` says. */
      version: Type.String({ maxLength: 64 }),
      /** SHA-256 of the dependencies that must be there already; without it they are in the blob. */
      dependencies: Type.Optional(Sha256Schema),
      /** Least major version of Node.js. */
      minNode: Type.Integer({ minimum: 1, maximum: 1_000 }),
    }),
  ),
  /** For people: precisions of the levels. */
  precisions: Type.Optional(Type.Array(PrecisionSchema, { maxItems: 64 })),
  blobs: Type.Array(ReleaseBlobSchema, { minItems: 1, maxItems: 256 }),
});
export type ReleaseManifest = Static<typeof ReleaseManifestSchema>;

/** How many chunks a blob of so many bytes has. */
export function chunkCountOf(bytes: number): number {
  return Math.ceil(bytes / CHUNK_BYTES);
}

/** Makes the parser of signed manifests: schema, then what a schema cannot say. To be used after the signature. */
export function releaseParser(): Parser<ReleaseManifest> {
  const parse = parserOf(ReleaseManifestSchema);
  return (value, what) => {
    const manifest = parse(value, what);
    const problem = blobProblem(manifest) ?? kindProblem(manifest);
    if (problem !== undefined) throw new AppError('invalid', `${what}: ${problem}`);
    return manifest;
  };
}

function blobProblem({ blobs }: ReleaseManifest): string | undefined {
  const total = blobs.reduce((sum, { bytes }) => sum + bytes, 0);
  if (total > MAX_TOTAL_BYTES) return `its blobs have ${total} bytes, at most ${MAX_TOTAL_BYTES} are taken`;
  if (new Set(blobs.map(({ sha256 }) => sha256)).size < blobs.length) return 'a blob is named twice';
  const odd = blobs.find(({ bytes, chunks }) => chunks.length !== chunkCountOf(bytes));
  if (odd === undefined) return undefined;
  return `blob ${odd.sha256}: ${odd.chunks.length} chunks for ${odd.bytes} bytes`;
}

function kindProblem(manifest: ReleaseManifest): string | undefined {
  if (manifest.kind === 'program') return programProblem(manifest);
  const { form, program } = manifest;
  if (countOf(manifest, 'program') > 0 || program !== undefined) return 'a family holds no program';
  if (form === undefined || countOf(manifest, 'family') !== 1) {
    return 'a family says its form, and has one family.json';
  }
  return form === 'full' ? fullProblem(manifest) : recipesProblem(manifest);
}

function countOf({ blobs }: ReleaseManifest, role: BlobRole): number {
  return blobs.filter((blob) => blob.role === role).length;
}

function programProblem(manifest: ReleaseManifest): string | undefined {
  const only = manifest.blobs.length === 1 && countOf(manifest, 'program') === 1;
  if (manifest.program !== undefined && only) return undefined;
  return 'a program has exactly one blob, and says what it needs';
}

function fullProblem(manifest: ReleaseManifest): string | undefined {
  return countOf(manifest, 'model') > 0 ? undefined : 'a full family has models';
}

function recipesProblem(manifest: ReleaseManifest): string | undefined {
  const { backbone, blobs } = manifest;
  const file = blobs.find(({ role }) => role === 'backbone');
  const fits = backbone !== undefined && file?.sha256 === backbone.sha256;
  if (!fits || countOf(manifest, 'backbone') !== 1 || countOf(manifest, 'recipe') === 0) {
    return 'a family of recipes has recipes, and the backbone that they are for';
  }
  return countOf(manifest, 'model') === 0 ? undefined : 'a family of recipes has no models';
}
