import Type, { type Static } from 'typebox';
import { IdSchema } from '../../shared/protocol/ids.ts';
import { ReleaseKindSchema } from '../../shared/protocol/release.ts';

/** What the HTTP API takes and gives about rollouts. Times are milliseconds since the epoch, durations milliseconds. */
const Count = Type.Integer({ minimum: 0 });
const Time = Type.Number();
const Version = Type.Integer({ minimum: 1, maximum: Number.MAX_SAFE_INTEGER });
const MAX_MS = 30 * 86_400_000;
const Duration = { minimum: 0, maximum: MAX_MS };
const ShortText = Type.String({ minLength: 1, maxLength: 256 });

/** What becomes of devices that took a release when its rollout is aborted. */
const OnAbort = Type.Union([Type.Literal('revert'), Type.Literal('keep')]);

export const RolloutStartSchema = Type.Object(
  {
    kind: Type.Union([Type.Literal('family'), Type.Literal('program')], { default: 'family' }),
    release: IdSchema,
    /** The newest one where it is not given. */
    version: Type.Optional(Version),
    /** Exactly one of them. */
    target: Type.Object(
      {
        device: Type.Optional(IdSchema),
        group: Type.Optional(IdSchema),
        selector: Type.Optional(Type.String({ minLength: 1, maxLength: 1_024 })),
        all: Type.Optional(Type.Literal(true)),
      },
      { additionalProperties: false },
    ),
    /** Its name; made from the release where it is not given. */
    id: Type.Optional(IdSchema),
    /** Devices that come to be selected while it runs join it, those that no longer are leave it. */
    dynamic: Type.Boolean({ default: false }),
    /** Cumulative sizes of the stages, such as `1,10%,100%`. */
    canary: Type.Optional(ShortText),
    /** Orders in any time of a length, such as `50/min`. */
    rate: Type.Optional(ShortText),
    /** In what order devices are told: drawn anew for each rollout, or by their names. */
    order: Type.Union([Type.Literal('drawn'), Type.Literal('name')], { default: 'drawn' }),
    soakMs: Type.Integer({ ...Duration, default: 120_000 }),
    /** A device that makes no progress for so long has failed. */
    stepTimeoutMs: Type.Integer({ minimum: 1_000, maximum: MAX_MS, default: 3_600_000 }),
    /** A device that is offline is waited for so long. */
    joinTimeoutMs: Type.Integer({ minimum: 1_000, maximum: 365 * 86_400_000, default: 7 * 86_400_000 }),
    /** How much of the time before counts as before. */
    baselineMs: Type.Integer({ minimum: 1_000, maximum: MAX_MS, default: 600_000 }),
    /** What must hold of every stage, such as `miss<1%`. */
    gates: Type.Array(ShortText, { maxItems: 32, default: [] }),
    /** When too many devices have failed, such as `failed>=20% min 3`. */
    abort: Type.Optional(ShortText),
    /** Orders are given only within so long after a time that fits the cron expression. */
    maintenance: Type.Optional(
      Type.Object(
        { cron: ShortText, zone: Type.Optional(ShortText), lengthMs: Type.Integer({ minimum: 1 }) },
        { additionalProperties: false },
      ),
    ),
    onAbort: Type.Union([Type.Literal('revert'), Type.Literal('keep')], { default: 'revert' }),
    /** Takes over devices that another rollout has. */
    force: Type.Boolean({ default: false }),
  },
  { additionalProperties: false },
);
export type RolloutStart = Static<typeof RolloutStartSchema>;

export const RolloutAbortSchema = Type.Object(
  { onAbort: Type.Optional(OnAbort) },
  { additionalProperties: false },
);

/** A rollout in a line. */
export const RolloutSchema = Type.Object({
  id: IdSchema,
  kind: ReleaseKindSchema,
  release: Type.Object({ name: IdSchema, version: Version }),
  /** running, paused, aborting, aborted, undoing, undone or completed. */
  state: Type.String(),
  /** Why it was ended before its time. */
  reason: Type.Optional(Type.String()),
  /** Nothing is under way: it is over, or waits only for devices that come to be selected. */
  done: Type.Boolean(),
  /** What it waits for, where it is not over. */
  waitsFor: Type.Optional(Type.String()),
  /** The stage that is open, from 1. */
  stage: Type.Integer({ minimum: 1 }),
  stages: Type.Integer({ minimum: 1 }),
  /** Devices by state; states without devices are left out. */
  counts: Type.Record(Type.String(), Count),
  createdTs: Time,
  endedTs: Type.Optional(Time),
});
export type Rollout = Static<typeof RolloutSchema>;
export const RolloutListSchema = Type.Object({ rollouts: Type.Array(RolloutSchema) });

/** A gate with what was measured in the open stage. Values in `unit`; a `share` is 0..1. */
export const RolloutGateSchema = Type.Object({
  gate: Type.String(),
  unit: Type.Enum(['share', 'ms', 'J', '']),
  now: Type.Optional(Type.Number()),
  before: Type.Optional(Type.Number()),
  limit: Type.Optional(Type.Number()),
  /** Inferences, frames or devices that `now` is of. */
  count: Count,
  verdict: Type.Enum(['holds', 'broken', 'unknown']),
  /** What is not known yet. */
  why: Type.Optional(Type.String()),
});
export type RolloutGate = Static<typeof RolloutGateSchema>;

export const RolloutDeviceViewSchema = Type.Object({
  device: IdSchema,
  /** From 1. */
  stage: Type.Integer({ minimum: 1 }),
  state: Type.String(),
  sinceTs: Time,
  online: Type.Boolean(),
  attempts: Count,
  orderedTs: Type.Optional(Time),
  /** The device's own step, and how far it is with fetching. */
  step: Type.Optional(Type.String()),
  bytes: Type.Optional(Count),
  ofBytes: Type.Optional(Count),
  activatedTs: Type.Optional(Time),
  crashes: Type.Optional(Count),
  agreement: Type.Optional(Type.Object({ frames: Count, share: Type.Number() })),
  /** Median latency of the most accurate level, measured on the device, and that of the family before. */
  profile: Type.Optional(Type.Object({ latencyMs: Type.Number(), beforeMs: Type.Number() })),
  reason: Type.Optional(Type.String()),
  /** Where it is not final: what it waits for, and until when at most. */
  waitsFor: Type.Optional(Type.String()),
  deadlineTs: Type.Optional(Time),
  /** How far it is with going back, where it is to. */
  revert: Type.Optional(
    Type.Object({ state: Type.String(), sinceTs: Time, reason: Type.Optional(Type.String()) }),
  ),
});
export type RolloutDeviceView = Static<typeof RolloutDeviceViewSchema>;

/** A rollout with all that is known of it. */
export const RolloutDetailSchema = Type.Object({
  ...RolloutSchema.properties,
  plan: Type.Object({
    target: Type.Object({
      device: Type.Optional(IdSchema),
      group: Type.Optional(IdSchema),
      selector: Type.Optional(Type.String()),
    }),
    dynamic: Type.Boolean(),
    canary: Type.String(),
    rate: Type.Optional(Type.String()),
    soakMs: Count,
    stepTimeoutMs: Count,
    joinTimeoutMs: Count,
    baselineMs: Count,
    abort: Type.Optional(Type.String()),
    maintenance: Type.Optional(
      Type.Object({ cron: Type.String(), zone: Type.String(), lengthMs: Type.Number() }),
    ),
    onAbort: OnAbort,
  }),
  gates: Type.Array(RolloutGateSchema),
  /** When the gates were measured. */
  measuredTs: Type.Optional(Time),
  devices: Type.Array(RolloutDeviceViewSchema),
});
export type RolloutDetail = Static<typeof RolloutDetailSchema>;
