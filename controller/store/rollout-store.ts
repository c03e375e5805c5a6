import Type, { type Static } from 'typebox';
import { IdSchema } from '../../shared/protocol/ids.ts';
import {
  INSTALL_STEPS,
  ReleaseKindSchema,
  ReleaseRefSchema,
  Sha256Schema,
} from '../../shared/protocol/release.ts';
import { parseJson, parserOf } from '../../shared/schema.ts';
import type { Sqlite } from '../../shared/sqlite.ts';

/** Finished rollouts that are kept; with them what they could still undo. */
const MAX_FINISHED = 200;

const Count = Type.Integer({ minimum: 0 });
const Ms = Type.Number({ minimum: 0 });
const Time = Type.Number();
const Text = Type.String();

export const GATE_METRICS = [
  ...(['miss', 'shed', 'agreement', 'accuracy'] as const),
  ...(['profile', 'latency', 'p95', 'p99', 'energy'] as const),
  ...(['crashes', 'fallback'] as const),
] as const;
export type GateMetric = (typeof GATE_METRICS)[number];
/** Longer ones first: `<=` must not be read as `<`. */
export const OPERATORS = ['<=', '>=', '<', '>'] as const;

/** What must hold of what was measured. Shares 0..1, times in milliseconds, energies in joules. */
export const GateSchema = Type.Object({
  metric: Type.Enum([...GATE_METRICS]),
  op: Type.Enum([...OPERATORS]),
  value: Type.Number(),
  /** `value` is by how much it may differ from before: points of a share, or a part of an amount. */
  isAgainstBefore: Type.Boolean(),
});
export type Gate = Readonly<Static<typeof GateSchema>>;

export const FAILURES = ['failed', 'rejected', 'timed-out'] as const;
/** When too many devices fail. `failed` is every kind of failure. */
export const AbortRuleSchema = Type.Object({
  of: Type.Enum([...FAILURES]),
  op: Type.Union([Type.Literal('>='), Type.Literal('>')]),
  value: Type.Number({ minimum: 0 }),
  /** Whether `value` is a share (0..1) of the devices that have finished, or a number of devices. */
  isShare: Type.Boolean(),
  /** Devices that have finished before it is judged. */
  min: Count,
});
export type AbortRule = Readonly<Static<typeof AbortRuleSchema>>;

/** So many devices in all once this stage is open, or so many of all. */
export const StageSizeSchema = Type.Union([
  Type.Object({ count: Type.Integer({ minimum: 1 }) }),
  Type.Object({ share: Type.Number({ exclusiveMinimum: 0, maximum: 1 }) }),
]);
export type StageSize = Readonly<Static<typeof StageSizeSchema>>;

export const RateSchema = Type.Object({ count: Type.Integer({ minimum: 1 }), perMs: Ms });
export type Rate = Readonly<Static<typeof RateSchema>>;

/** When orders may be given: from every time that fits the expression on. */
export const MaintenanceSchema = Type.Object({ cron: Text, zone: Text, lengthMs: Ms });
export type Maintenance = Readonly<Static<typeof MaintenanceSchema>>;

/** What was asked for; it does not change. */
const PlanSchema = Type.Object({
  id: IdSchema,
  kind: ReleaseKindSchema,
  release: ReleaseRefSchema,
  /** Of a family: SHA-256 of its family.json, by which devices and telemetry name it. */
  familySha256: Type.Optional(Sha256Schema),
  target: Type.Object({
    device: Type.Optional(IdSchema),
    group: Type.Optional(IdSchema),
    selector: Type.Optional(Text),
  }),
  isDynamic: Type.Boolean(),
  canary: Type.Array(StageSizeSchema),
  /** Stages that there are, 1 or more: of few devices fewer than `canary` names. */
  stages: Type.Integer({ minimum: 1 }),
  rate: Type.Optional(RateSchema),
  soakMs: Count,
  stepTimeoutMs: Count,
  joinTimeoutMs: Count,
  baselineMs: Count,
  gates: Type.Array(GateSchema),
  abort: Type.Optional(AbortRuleSchema),
  maintenance: Type.Optional(MaintenanceSchema),
  onAbort: Type.Union([Type.Literal('revert'), Type.Literal('keep')]),
  createdTs: Time,
});

export const ROLLOUT_STATES = [
  'running',
  'paused',
  'aborting',
  'aborted',
  'undoing',
  'undone',
  'completed',
] as const;
export type RolloutState = (typeof ROLLOUT_STATES)[number];

/** What was measured for a gate. */
const MeasuredSchema = Type.Object({
  now: Type.Optional(Type.Number()),
  before: Type.Optional(Type.Number()),
  /** Inferences, frames or devices that `now` is of. */
  count: Count,
  /** How much of what will be measured this is, 0..1. */
  share: Type.Number({ minimum: 0, maximum: 1 }),
});
export type Measured = Readonly<Static<typeof MeasuredSchema>>;

const MeasurementSchema = Type.Object({
  stage: Count,
  /** When, by the rollout's own clock and by that of the controller. */
  ms: Ms,
  ts: Time,
  /** In the order of the gates. */
  values: Type.Array(MeasuredSchema),
});
export type Measurement = Readonly<Static<typeof MeasurementSchema>>;

/**
 * Times that end in `Ms` are of the rollout's own clock: for how long a controller watched it while it was not
 * paused. Nothing that happens to the wall clock, and no time that the controller was off, lets a device time out.
 */
export const StoredRolloutSchema = Type.Object({
  plan: PlanSchema,
  state: Type.Enum([...ROLLOUT_STATES]),
  reason: Type.Optional(Text),
  /** The stage that is open, from 0. */
  stage: Count,
  stageTs: Time,
  watchedMs: Ms,
  /** When every device of the open stage had ended. */
  settledMs: Type.Optional(Ms),
  /** The gates of the open stage hold. */
  isJudged: Type.Boolean(),
  /** Orders of late, for the rate. */
  given: Type.Array(Type.Object({ ms: Ms, count: Count })),
  measured: Type.Optional(MeasurementSchema),
  endedTs: Type.Optional(Time),
  /** Devices by state, once it is over. */
  counts: Type.Optional(Type.Record(Text, Count)),
});
type Deep<T> = T extends readonly (infer U)[]
  ? readonly Deep<U>[]
  : T extends object
    ? { readonly [K in keyof T]: Deep<T[K]> }
    : T;
export type StoredRollout = Deep<Static<typeof StoredRolloutSchema>>;
export type RolloutPlan = StoredRollout['plan'];

/** As AWS IoT Jobs names them. */
export const ROLLOUT_DEVICE_STATES = [
  'QUEUED',
  'IN_PROGRESS',
  'SUCCEEDED',
  'FAILED',
  'TIMED_OUT',
  'REJECTED',
  'REMOVED',
  'CANCELED',
] as const;
export type RolloutDeviceState = (typeof ROLLOUT_DEVICE_STATES)[number];

/** How far a device is with going back; `skipped`: something newer has it. */
export const REVERT_STATES = ['waiting', 'ordered', 'done', 'failed', 'timed-out', 'skipped'] as const;

export const RolloutDeviceSchema = Type.Object({
  device: IdSchema,
  /** Its place among the devices of the rollout, and the stage that it is of. */
  place: Count,
  stage: Count,
  state: Type.Enum([...ROLLOUT_DEVICE_STATES]),
  sinceTs: Time,
  reason: Type.Optional(Text),
  /** How often it was told to install. */
  attempts: Count,
  orderedTs: Type.Optional(Time),
  /** The stage that was open then. */
  orderedStage: Type.Optional(Count),
  /** Whether it was heard of since. */
  isHeard: Type.Optional(Type.Boolean()),
  /** When it got on last, not counting time that it was offline after that. */
  progressMs: Type.Optional(Ms),
  /** Since when it is offline, where it is waited for. */
  offlineMs: Type.Optional(Ms),
  step: Type.Optional(Type.Enum([...INSTALL_STEPS])),
  bytes: Type.Optional(Count),
  ofBytes: Type.Optional(Count),
  /** When it began to serve, by its own clock and by the rollout's. */
  activatedTs: Type.Optional(Time),
  activatedMs: Type.Optional(Ms),
  crashes: Type.Optional(Count),
  agreement: Type.Optional(Type.Object({ frames: Count, share: Type.Number() })),
  profile: Type.Optional(Type.Object({ latencyMs: Ms, beforeMs: Ms })),
  /** It had operating points on a GPU when it was told to install. */
  hadGpu: Type.Optional(Type.Boolean()),
  revert: Type.Optional(
    Type.Object({ state: Type.Enum([...REVERT_STATES]), sinceTs: Time, reason: Type.Optional(Text) }),
  ),
});
export type RolloutDevice = Deep<Static<typeof RolloutDeviceSchema>>;

/** Whether nothing more will happen to a rollout by itself. */
export function isOver({ state }: Pick<StoredRollout, 'state'>): boolean {
  return state === 'aborted' || state === 'undone' || state === 'completed';
}

export interface RolloutStore {
  /** Newest first. */
  all(): StoredRollout[];
  get(id: string): StoredRollout | undefined;
  /** In the order of their places. */
  devices(id: string): RolloutDevice[];
  /** Stores a rollout and those of its devices that have changed; the oldest finished ones are forgotten. */
  save(rollout: StoredRollout, devices: Iterable<RolloutDevice>): void;
}

/** Rollouts in `fleet.db`. */
export function createRolloutStore(sqlite: Sqlite): RolloutStore {
  const parseRollout = parserOf(StoredRolloutSchema);
  const parseDevice = parserOf(RolloutDeviceSchema);
  const all = sqlite.prepare<[], string>('SELECT body FROM rollouts ORDER BY created_ts DESC, id').pluck();
  const get = sqlite.prepare<[string], string>('SELECT body FROM rollouts WHERE id = ?').pluck();
  const devices = sqlite
    .prepare<[string], string>('SELECT body FROM rollout_devices WHERE rollout = ?')
    .pluck();
  const rolloutOf = (body: string): StoredRollout => parseJson(body, parseRollout, 'stored rollout');
  return {
    all: () => all.all().map(rolloutOf),
    get: (id) => {
      const body = get.get(id);
      return body === undefined ? undefined : rolloutOf(body);
    },
    devices: (id) =>
      devices
        .all(id)
        .map((body) => parseJson(body, parseDevice, `stored device of rollout ${id}`))
        .sort((a, b) => a.place - b.place),
    save: saverOf(sqlite),
  };
}

function saverOf(sqlite: Sqlite): RolloutStore['save'] {
  const put = sqlite.prepare(
    'INSERT OR REPLACE INTO rollouts (id, created_ts, state, body) VALUES (?, ?, ?, ?)',
  );
  const putDevice = sqlite.prepare(
    'INSERT OR REPLACE INTO rollout_devices (rollout, device, body) VALUES (?, ?, ?)',
  );
  const prune = sqlite.prepare(
    `DELETE FROM rollouts WHERE id IN (
       SELECT id FROM rollouts WHERE state IN ('aborted', 'undone', 'completed')
       ORDER BY created_ts DESC, id LIMIT -1 OFFSET ${MAX_FINISHED})`,
  );
  const pruneDevices = sqlite.prepare(
    'DELETE FROM rollout_devices WHERE rollout NOT IN (SELECT id FROM rollouts)',
  );
  return sqlite.transaction((rollout: StoredRollout, devices: Iterable<RolloutDevice>): void => {
    const { id, createdTs } = rollout.plan;
    put.run(id, Math.round(createdTs), rollout.state, JSON.stringify(rollout));
    for (const device of devices) putDevice.run(id, device.device, JSON.stringify(device));
    if (isOver(rollout) && prune.run().changes > 0) pruneDevices.run();
  });
}
