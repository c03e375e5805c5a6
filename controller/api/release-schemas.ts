import Type, { type Static } from 'typebox';
import { IdSchema } from '../../shared/protocol/ids.ts';
import {
  MAX_RELEASE_BYTES,
  ReleaseKindSchema,
  ReleaseRefSchema,
  Sha256Schema,
  SignatureSchema,
} from '../../shared/protocol/release.ts';
import { ReleaseManifestSchema } from '../../shared/release/manifest.ts';

const Version = Type.Integer({ minimum: 1, maximum: Number.MAX_SAFE_INTEGER });

/** Names a blob. */
export const BlobParamsSchema = Type.Object({ sha256: Sha256Schema });

/** Names a release. */
export const ReleaseParamsSchema = Type.Object({ kind: ReleaseKindSchema, name: IdSchema, version: Version });

/** Which releases are listed; without a field all. */
export const ReleaseQuerySchema = Type.Object(
  { kind: Type.Optional(ReleaseKindSchema), name: Type.Optional(IdSchema) },
  { additionalProperties: false },
);
export type ReleaseQuery = Static<typeof ReleaseQuerySchema>;

/** Base64 of the largest manifest. */
const MAX_BASE64 = 4 * Math.ceil(MAX_RELEASE_BYTES / 3);
/** Body of the largest release, bytes. */
export const MAX_POST_BYTES = MAX_BASE64 + 4_096;

/** A signed manifest, as it was signed. */
export const ReleasePostSchema = Type.Object(
  {
    /** Base64. */
    manifest: Type.String({ minLength: 4, maxLength: MAX_BASE64, pattern: '^[A-Za-z0-9+/]*={0,2}$' }),
    signature: SignatureSchema,
  },
  { additionalProperties: false },
);
export type ReleasePost = Static<typeof ReleasePostSchema>;

const { form, precisions, minAgent, hardware, createdTs, expiresTs } = ReleaseManifestSchema.properties;

/** A release without the hashes of its chunks. Times are milliseconds since the epoch. */
export const ReleaseSummarySchema = Type.Object({
  kind: ReleaseKindSchema,
  name: IdSchema,
  version: Version,
  /** Of the manifest. */
  sha256: Sha256Schema,
  keyId: SignatureSchema.properties.keyId,
  ...{ form, precisions, minAgent, hardware, createdTs, expiresTs },
  publishedTs: Type.Number(),
  blobs: Type.Integer(),
  /** Of all blobs. */
  bytes: Type.Integer(),
  /** Blobs that are gone. */
  damaged: Type.Array(Sha256Schema),
  /** Why no device takes it any more: its publisher's key does not count now. */
  untrusted: Type.Optional(Type.String()),
});
export type ReleaseSummary = Static<typeof ReleaseSummarySchema>;

/** By kind and name, oldest version first. */
export const ReleaseListSchema = Type.Object({ releases: Type.Array(ReleaseSummarySchema) });
export type ReleaseList = Static<typeof ReleaseListSchema>;

/** All of a release. */
export const ReleaseDetailSchema = Type.Object({
  kind: ReleaseKindSchema,
  ref: ReleaseRefSchema,
  manifest: ReleaseManifestSchema,
  publishedTs: Type.Number(),
  damaged: Type.Array(Sha256Schema),
  /** Why no device takes it any more: its publisher's key does not count now. */
  untrusted: Type.Optional(Type.String()),
});
export type ReleaseDetail = Static<typeof ReleaseDetailSchema>;

/** A refusal that says what has to be uploaded first. */
export const MissingBlobsSchema = Type.Object({
  error: Type.Object({ code: Type.Literal('conflict'), message: Type.String() }),
  missing: Type.Array(Sha256Schema, { minItems: 1 }),
});
export type MissingBlobsAnswer = Static<typeof MissingBlobsSchema>;

/** Whether the blob was there already. */
export const BlobAnswerSchema = Type.Object({
  state: Type.Union([Type.Literal('stored'), Type.Literal('known')]),
});
