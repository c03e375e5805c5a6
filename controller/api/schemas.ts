import Type, { type Static } from 'typebox';
import { COMMAND_KINDS, CommandResultSchema, CommandSchema } from '../../shared/protocol/command.ts';
import { DeviceDesiredSchema, VersionSchema } from '../../shared/protocol/desired.ts';
import { EVENT_KINDS, EventSchema } from '../../shared/protocol/event.ts';
import { IdSchema } from '../../shared/protocol/ids.ts';
import { ReportedSchema } from '../../shared/protocol/reported.ts';
import { RequirementSchema, SettingsSchema } from '../../shared/protocol/requirement.ts';
import { REQUIREMENT_FIELD_NAMES } from '../../shared/protocol/requirement-rules.ts';
import { ProcessingElementSchema } from '../../shared/protocol/window.ts';

/**
 * What the HTTP API takes and gives: the one source of its validation, its OpenAPI document and the types
 * of its clients. Times are milliseconds since the epoch.
 */
const Count = Type.Integer({ minimum: 0 });
const Labels = Type.Record(Type.String(), Type.String());
const SelectorText = Type.String({ minLength: 1, maxLength: 1_024 });
const Priority = { minimum: -1_000, maximum: 1_000 };
const nullable = Type.Null();

/** Every refusal: a code of the error table and one line for people. */
export const ErrorSchema = Type.Object({
  error: Type.Object({ code: Type.String(), message: Type.String() }),
});

/** The newest window of a device, in a line. */
export const LatestSchema = Type.Object({
  ts: Type.Number(),
  durationMs: Type.Number(),
  inferences: Count,
  misses: Count,
  switches: Count,
  sheds: Count,
  /** Level of most inferences; null when there were none. */
  level: Type.Union([Count, nullable]),
  latencyMeanMs: Type.Union([Type.Number(), nullable]),
  latencyP95Ms: Type.Union([Type.Number(), nullable]),
  accuracy: Type.Union([Type.Number(), nullable]),
  slowdown: Type.Number(),
  /** Of the point of most inferences. */
  pe: Type.Optional(ProcessingElementSchema),
  /** SHA-256 of the manifest of the family that was served. */
  family: Type.Optional(Type.String()),
  powerW: Type.Optional(Type.Number()),
  tempC: Type.Optional(Type.Number()),
  outboxRecords: Type.Optional(Count),
  outboxAgeMs: Type.Optional(Type.Number()),
  drifting: Type.Optional(Type.Boolean()),
  /** The controller dated it, because the device did not know the time. */
  redated: Type.Optional(Type.Boolean()),
  requirement: RequirementSchema,
});
export type Latest = Static<typeof LatestSchema>;

export const DeviceSchema = Type.Object({
  id: IdSchema,
  online: Type.Boolean(),
  firstSeenTs: Type.Number(),
  lastSeenTs: Type.Number(),
  labels: Labels,
  groups: Type.Array(IdSchema),
  latest: Type.Optional(LatestSchema),
});
export type Device = Static<typeof DeviceSchema>;

/** One device with all that is known of it. */
export const DeviceDetailSchema = Type.Object({
  ...DeviceSchema.properties,
  /** Two programs use this identity in turn. */
  identityConflict: Type.Boolean(),
  desired: Type.Optional(DeviceDesiredSchema),
  reported: Type.Optional(ReportedSchema),
});
export type DeviceDetail = Static<typeof DeviceDetailSchema>;

export const DeviceListSchema = Type.Object({ devices: Type.Array(DeviceSchema) });

/** Which devices: at most one of them; none means all. */
export const TargetQuerySchema = Type.Object({
  device: Type.Optional(IdSchema),
  group: Type.Optional(IdSchema),
  selector: Type.Optional(SelectorText),
});

export const LabelsPatchSchema = Type.Object(
  { set: Type.Optional(Labels), remove: Type.Optional(Type.Array(Type.String())) },
  { additionalProperties: false },
);

export const CommandRequestSchema = Type.Object(
  {
    kind: Type.Enum([...COMMAND_KINDS]),
    timeoutMs: Type.Integer({ minimum: 100, maximum: 60_000, default: 5_000 }),
    lines: CommandSchema.properties.lines,
    at: CommandSchema.properties.at,
    since: CommandSchema.properties.since,
    limit: CommandSchema.properties.limit,
    action: CommandSchema.properties.action,
  },
  { additionalProperties: false },
);
export const CommandResponseSchema = Type.Object({
  id: Type.String(),
  device: IdSchema,
  roundTripMs: Type.Number(),
  result: CommandResultSchema,
});
export type CommandResponse = Static<typeof CommandResponseSchema>;

/** A group has listed members, or a selector; where two groups state a field, the higher priority wins, then the name. */
export const GroupPutSchema = Type.Object(
  {
    priority: Type.Integer({ ...Priority, default: 0 }),
    selector: Type.Optional(SelectorText),
    members: Type.Optional(Type.Array(IdSchema, { maxItems: 100_000 })),
  },
  { additionalProperties: false },
);
export const GroupSchema = Type.Object({
  name: IdSchema,
  priority: Type.Integer(),
  selector: Type.Optional(Type.String()),
  /** The devices that are in it now. */
  devices: Type.Array(IdSchema),
});
export type Group = Static<typeof GroupSchema>;
export const GroupListSchema = Type.Object({ groups: Type.Array(GroupSchema) });

/** Where a budget or a setting applies. */
export const ScopeSchema = Type.Union([
  Type.Object({ kind: Type.Literal('fleet') }, { additionalProperties: false }),
  Type.Object({ kind: Type.Literal('group'), name: IdSchema }, { additionalProperties: false }),
  Type.Object(
    {
      kind: Type.Literal('selector'),
      selector: SelectorText,
      priority: Type.Optional(Type.Integer(Priority)),
    },
    { additionalProperties: false },
  ),
  Type.Object({ kind: Type.Literal('device'), device: IdSchema }, { additionalProperties: false }),
]);
export type Scope = Static<typeof ScopeSchema>;

/** Sets the fields that are given, clears the ones that are named, leaves the others. */
export const BudgetPatchSchema = Type.Object(
  {
    scope: ScopeSchema,
    set: Type.Optional(Type.Object(RequirementSchema.properties, { additionalProperties: false })),
    clear: Type.Optional(Type.Array(Type.Enum([...REQUIREMENT_FIELD_NAMES]))),
  },
  { additionalProperties: false },
);
export const SettingsPatchSchema = Type.Object(
  {
    scope: ScopeSchema,
    set: Type.Optional(Type.Object(SettingsSchema.properties, { additionalProperties: false })),
    clear: Type.Optional(Type.Array(Type.Enum(['windowMs', 'frameRate', 'logLevel']))),
  },
  { additionalProperties: false },
);

/** What a scope states now. `devices` counts the devices that it applies to. */
export const StatedSchema = Type.Object({
  scope: ScopeSchema,
  version: VersionSchema,
  requirement: RequirementSchema,
  settings: SettingsSchema,
  devices: Count,
});
export type Stated = Static<typeof StatedSchema>;
export const StatedListSchema = Type.Object({ stated: Type.Array(StatedSchema) });

// What is asked of the history of telemetry, and its answers: history-schemas.ts.

export const EventQuerySchema = Type.Object(
  {
    ...TargetQuerySchema.properties,
    kind: Type.Optional(Type.Enum([...EVENT_KINDS, 'alarm'])),
    /** Only events in whose text this stands, whatever the case. */
    contains: Type.Optional(Type.String({ minLength: 1, maxLength: 256 })),
    since: Type.Optional(Type.Number({ minimum: 0 })),
    until: Type.Optional(Type.Number({ minimum: 0 })),
    limit: Type.Integer({ minimum: 1, maximum: 10_000, default: 100 }),
  },
  { additionalProperties: false },
);
/** An alarm is raised by the controller itself; everything else came from the device. */
export const EventRowSchema = Type.Object({
  device: IdSchema,
  ts: Type.Number(),
  /** The controller dated it, because the device did not know the time. */
  redated: Type.Optional(Type.Boolean()),
  kind: Type.String(),
  body: Type.Union([
    EventSchema,
    Type.Object({ kind: Type.Literal('alarm'), what: Type.String(), reason: Type.String() }),
  ]),
});
export type EventRow = Static<typeof EventRowSchema>;
/** Newest first. */
export const EventListSchema = Type.Object({ events: Type.Array(EventRowSchema) });

export const ControllerStateSchema = Type.Object({
  version: Type.String(),
  fleet: IdSchema,
  epoch: Count,
  startedTs: Type.Number(),
  mqtt: Type.Object({ connected: Type.Boolean() }),
  devices: Type.Object({ known: Count, online: Count }),
  ingest: Type.Object({
    windows: Count,
    events: Count,
    /** Records that were already in the history. */
    duplicates: Count,
    /** Received and not committed yet. */
    pending: Count,
    /** Messages that were dropped, by reason. */
    rejected: Type.Record(Type.String(), Count),
    /** Why nothing can be committed now, for example a full disk. */
    stalled: Type.Optional(Type.String()),
  }),
  history: Type.Object({ windows: Count, events: Count, bytes: Count }),
});
export type ControllerState = Static<typeof ControllerStateSchema>;
