import Type, { type Static } from 'typebox';
import { IdSchema } from './ids.ts';

/** Bytes of every chunk of a blob but the last. */
export const CHUNK_BYTES = 64 * 1024;
/** Largest blob. */
export const MAX_BLOB_BYTES = 2 ** 31;
/** Largest signed manifest of a release; it is held in memory as a whole. */
export const MAX_RELEASE_BYTES = 4 * 1024 * 1024;
/** Ranges in one `want`. */
export const MAX_WANTED_RANGES = 256;

export const SHA256_PATTERN = '^[0-9a-f]{64}$';
export const Sha256Schema = Type.String({ pattern: SHA256_PATTERN });

const ChunkNumber = Type.Integer({ minimum: 0, maximum: MAX_BLOB_BYTES / CHUNK_BYTES });

/** Closed ranges of chunks of a blob that a device is missing, in order. */
export const WantSchema = Type.Object({
  v: Type.Literal(1),
  sha256: Sha256Schema,
  chunks: Type.Array(Type.Tuple([ChunkNumber, ChunkNumber]), { minItems: 1, maxItems: MAX_WANTED_RANGES }),
});
export type Want = Static<typeof WantSchema>;
export type ChunkRange = Want['chunks'][number];

/** A detached Ed25519 signature over exact bytes; `keyId` names the key that made it. */
export const SignatureSchema = Type.Object({
  keyId: Type.String({ pattern: '^[0-9a-f]{16}$' }),
  /** 64 bytes, base64. */
  value: Type.String({ pattern: '^[A-Za-z0-9+/]{86}==$' }),
});
export type Signature = Static<typeof SignatureSchema>;

/**
 * Whose signatures count: a keyring, exactly as it was signed, with the signatures of its roots. Retained; what
 * is in it is read only after a signature has been found good.
 */
export const KeyringMessageSchema = Type.Object({
  v: Type.Literal(1),
  /** The exact bytes that are signed, base64. */
  document: Type.String({ maxLength: 96 * 1024, pattern: '^[A-Za-z0-9+/]*={0,2}$' }),
  signatures: Type.Array(SignatureSchema, { minItems: 1, maxItems: 16 }),
});
export type KeyringMessage = Static<typeof KeyringMessageSchema>;

/** What a release brings: a family of sub-networks, or the agent's own program. */
export const RELEASE_KINDS = ['family', 'program'] as const;
export type ReleaseKind = (typeof RELEASE_KINDS)[number];
export const ReleaseKindSchema = Type.Enum([...RELEASE_KINDS]);

/** A release by name, with where its signed manifest is and who signed it. */
export const ReleaseRefSchema = Type.Object({
  name: IdSchema,
  version: Type.Integer({ minimum: 1, maximum: Number.MAX_SAFE_INTEGER }),
  /** The signed manifest as a blob. */
  manifest: Type.Object({
    sha256: Sha256Schema,
    bytes: Type.Integer({ minimum: 1, maximum: MAX_RELEASE_BYTES }),
  }),
  signature: SignatureSchema,
});
export type ReleaseRef = Static<typeof ReleaseRefSchema>;

/** Beyond this nobody waits. */
const MAX_TIME_MS = 30 * 86_400_000;

/**
 * What a rollout wants of a device: to install a release, or to go back to what was committed before it. The
 * same order comes again with every desired document; it is carried out once per rollout and deed.
 */
export const OrderSchema = Type.Object({
  rollout: IdSchema,
  deed: Type.Union([Type.Literal('install'), Type.Literal('revert')]),
  /** What to install, or what to go back from. */
  release: ReleaseRefSchema,
  /** How long the device runs it before it commits it, milliseconds. */
  soakMs: Type.Integer({ minimum: 0, maximum: MAX_TIME_MS }),
  /** The install fails when one of its steps makes no progress for so long, milliseconds. */
  stepTimeoutMs: Type.Integer({ minimum: 1_000, maximum: MAX_TIME_MS }),
});
export type Order = Static<typeof OrderSchema>;

/** What a device does to carry out an order, one after the other; `committed` is the end. */
export const INSTALL_STEPS = [
  'fetching',
  'staging',
  'profiling',
  'comparing',
  'activating',
  'soaking',
  'committed',
] as const;
export type InstallStep = (typeof INSTALL_STEPS)[number];

/**
 * `succeeded`: committed, or gone back where that was the order. `rejected`: refused before anything was
 * changed. `failed`: it did not work, and the device runs what it ran before.
 */
export const INSTALL_STATES = ['in-progress', 'succeeded', 'failed', 'rejected'] as const;

const Count = Type.Integer({ minimum: 0, maximum: Number.MAX_SAFE_INTEGER });
const TimeSchema = Type.Number({ minimum: 0, maximum: 8.64e15 });

/** How far a device is with an order, or how it ended. */
export const InstallReportSchema = Type.Object({
  rollout: IdSchema,
  deed: Type.Union([Type.Literal('install'), Type.Literal('revert')]),
  name: IdSchema,
  version: Type.Integer({ minimum: 1 }),
  state: Type.Enum([...INSTALL_STATES]),
  step: Type.Enum([...INSTALL_STEPS]),
  /** Bytes of blobs that are there, and of how many; while they are fetched. */
  bytes: Type.Optional(Count),
  ofBytes: Type.Optional(Count),
  /** How often the agent died while it soaked. */
  crashes: Type.Optional(Count),
  /** Answers of the best level that are those of the family before, on frames of this device. */
  agreement: Type.Optional(Type.Object({ frames: Count, share: Type.Number({ minimum: 0, maximum: 1 }) })),
  /** Median latency of the most accurate level, as this device measured it: of the new family, of the one before. */
  profile: Type.Optional(
    Type.Object({ latencyMs: Type.Number({ minimum: 0 }), beforeMs: Type.Number({ minimum: 0 }) }),
  ),
  /** When it began to serve, milliseconds since the epoch. */
  activatedTs: Type.Optional(TimeSchema),
  reason: Type.Optional(Type.String({ maxLength: 1_024 })),
  /** When `state` or `step` changed last. */
  ts: TimeSchema,
});
export type InstallReport = Static<typeof InstallReportSchema>;
