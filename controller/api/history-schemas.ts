import Type, { type Static } from 'typebox';
import { IdSchema } from '../../shared/protocol/ids.ts';
import { EventRowSchema, LatestSchema, TargetQuerySchema } from './schemas.ts';

/** What the HTTP API takes and gives about the history of telemetry. Times are milliseconds since the epoch. */
const Count = Type.Integer({ minimum: 0 });
/** Up to the year 9999: buckets around it can still be reckoned with. */
const Time = Type.Number({ minimum: 0, maximum: 253_402_300_799_999 });

/** Metrics that the history answers, with the unit of their values. */
export const METRICS = {
  // Of each inference, with percentiles.
  latencyMs: 'ms',
  slowdown: '',
  queueMs: 'ms',
  energyJ: 'J',
  // Counters.
  inferences: '',
  misses: '',
  audits: '',
  switches: '',
  sheds: '',
  skipped: '',
  unreadable: '',
  failed: '',
  windows: '',
  // Shares and means over inferences, frames or time.
  missShare: '',
  accuracy: '',
  agreement: '',
  confidence: '',
  share: '',
  timeShare: '',
  level: '',
  // Energy of the whole device, and how much of it was measured and not modelled.
  deviceEnergyJ: 'J',
  measuredShare: '',
  // Gauges, weighted by time.
  powerW: 'W',
  tempC: '°C',
  cpuBusy: '',
  gpuBusy: '',
  cpuFreqHz: 'Hz',
  gpuFreqHz: 'Hz',
  memAvailableBytes: 'B',
  rssBytes: 'B',
  queue: '',
  cpuPressure: '',
  managerSlowdown: '',
  price: '',
  outboxRecords: '',
  outboxAgeMs: 'ms',
  drifting: '',
  budgetLatencyMs: 'ms',
  budgetMissShare: '',
  budgetAccuracyFloor: '',
  budgetPowerW: 'W',
  budgetEnergyJ: 'J',
  budgetTempC: '°C',
  // How much of the time is reported.
  coverage: '',
} as const;
export type Metric = keyof typeof METRICS;

/** What an answer can be split by. */
export const SPLITS = ['device', 'level', 'family'] as const;
export type Split = (typeof SPLITS)[number];

/** Buckets of the calendar: their lengths in milliseconds differ. Weeks begin on Monday. */
export const CALENDAR_BUCKETS = ['day', 'week', 'month'] as const;
export type CalendarBucket = (typeof CALENDAR_BUCKETS)[number];

export const TelemetryQuerySchema = Type.Object(
  {
    ...TargetQuerySchema.properties,
    metric: Type.Enum(Object.keys(METRICS) as Metric[]),
    /** With buckets it is taken back to where its bucket begins. */
    since: Time,
    /** Not included; now when it is not given. */
    until: Type.Optional(Time),
    /**
     * Length of a bucket; one bucket over all when neither this nor `bucket` is given. Buckets up to an hour
     * are all of this length; longer ones follow the clock of the time zone, so that a bucket of a day has
     * 23 or 25 hours when the clocks are changed.
     */
    bucketMs: Type.Optional(Type.Integer({ minimum: 100, maximum: 31_622_400_000 })),
    bucket: Type.Optional(Type.Enum([...CALENDAR_BUCKETS])),
    /** IANA name of the time zone in which buckets begin, such as `Europe/Berlin`. */
    timeZone: Type.Optional(Type.String({ minLength: 1, maxLength: 64 })),
    /** count, sum, mean, min, max, rate (per second), or a percentile such as p50 or p99.9. */
    aggregate: Type.Optional(
      Type.String({ pattern: '^(count|sum|mean|min|max|rate|p\\d{1,2}(\\.\\d{1,3})?|p100)$' }),
    ),
    by: Type.Optional(Type.Enum([...SPLITS])),
  },
  { additionalProperties: false },
);
export type TelemetryQuery = Static<typeof TelemetryQuerySchema>;

export const TelemetryAnswerSchema = Type.Object({
  metric: Type.String(),
  /** Of the values: that of the metric, or per second for a rate. */
  unit: Type.String(),
  aggregate: Type.String(),
  since: Type.Number(),
  until: Type.Number(),
  /** Usual length of a bucket. */
  bucketMs: Type.Number(),
  timeZone: Type.String(),
  /**
   * Length of the longest roll-up that the answer was read from; 0: raw windows only. Where it is longer
   * than the buckets, nothing finer is kept, and a roll-up counts for the bucket in which it begins.
   */
  resolutionMs: Type.Number(),
  /** Devices that the question is about. */
  devices: Count,
  /** Windows in the answer that were dated by the controller, and that arrived late. */
  redated: Count,
  late: Count,
  /** Records that devices counted as lost in that time. */
  lost: Count,
  /** One per value of `by`; one with an empty key without it. */
  series: Type.Array(
    Type.Object({
      key: Type.String(),
      /** A bucket without windows has no point: a gap is not a zero. `ts` is where the bucket begins. */
      points: Type.Array(Type.Object({ ts: Type.Number(), value: Type.Number(), count: Count })),
    }),
  ),
});
export type TelemetryAnswer = Static<typeof TelemetryAnswerSchema>;

const Span = { since: Type.Optional(Time), until: Type.Optional(Time) };

export const GapQuerySchema = Type.Object(
  {
    ...TargetQuerySchema.properties,
    ...Span,
    limit: Type.Integer({ minimum: 1, maximum: 10_000, default: 1_000 }),
  },
  { additionalProperties: false },
);
/** Records `from..to` of a boot that are not in the history. */
export const GapRowSchema = Type.Object({
  device: IdSchema,
  bootId: Type.String(),
  from: Count,
  to: Count,
  /** How many of the range are lost, or missing. */
  records: Count,
  /** When the device told of it; for what is missing, when the boot's first record was made. */
  ts: Type.Number(),
  /** `counted`: the device says that they are lost; `missing`: nobody said so yet, they may still arrive. */
  state: Type.Union([Type.Literal('counted'), Type.Literal('missing')]),
  reason: Type.String(),
});
export type GapRow = Static<typeof GapRowSchema>;
/** Newest first. */
export const GapListSchema = Type.Object({ gaps: Type.Array(GapRowSchema) });

export const TAIL_CONTENTS = ['windows', 'events', 'all'] as const;
export const TailQuerySchema = Type.Object(
  {
    ...TargetQuerySchema.properties,
    what: Type.Enum([...TAIL_CONTENTS], { default: 'windows' }),
  },
  { additionalProperties: false },
);
export type TailContent = (typeof TAIL_CONTENTS)[number];
/** A line of the tail, as JSON; empty lines only say that the controller is there. */
export const TailLineSchema = Type.Union([
  Type.Object({ what: Type.Literal('window'), device: IdSchema, ...LatestSchema.properties }),
  Type.Object({ what: Type.Literal('event'), ...EventRowSchema.properties }),
]);
export type TailLine = Static<typeof TailLineSchema>;

export const EXPORT_RESOLUTIONS = ['raw', 'minute', 'hour', 'day'] as const;
export type ExportResolution = (typeof EXPORT_RESOLUTIONS)[number];
export const EXPORT_TABLES = ['windows', 'points', 'events'] as const;
export type ExportTable = (typeof EXPORT_TABLES)[number];
export const EXPORT_FORMATS = ['parquet', 'csv'] as const;
export type ExportFormat = (typeof EXPORT_FORMATS)[number];
export const ExportQuerySchema = Type.Object(
  {
    ...TargetQuerySchema.properties,
    since: Time,
    until: Type.Optional(Time),
    resolution: Type.Enum([...EXPORT_RESOLUTIONS], { default: 'hour' }),
    table: Type.Enum([...EXPORT_TABLES], { default: 'points' }),
    format: Type.Enum([...EXPORT_FORMATS], { default: 'parquet' }),
  },
  { additionalProperties: false },
);
export type ExportQuery = Static<typeof ExportQuerySchema>;

export const BackupAnswerSchema = Type.Object({
  /** Folder on the controller's machine. */
  path: Type.String(),
  bytes: Count,
  devices: Count,
  windows: Count,
});
export type BackupAnswer = Static<typeof BackupAnswerSchema>;

export const IntegrityAnswerSchema = Type.Object({ ok: Type.Boolean(), problems: Type.Array(Type.String()) });
export type IntegrityAnswer = Static<typeof IntegrityAnswerSchema>;

/** How the history is, for `history status`. */
export const HistoryStatusSchema = Type.Object({
  windows: Count,
  events: Count,
  /** Of the database, and of its write-ahead log. */
  bytes: Count,
  walBytes: Count,
  /** Windows that are not merged into the roll-ups yet, and the age of the oldest of them. */
  lagRecords: Count,
  lagMs: Type.Number({ minimum: 0 }),
  /** Starts of agents, and devices and groups, that the history knows. */
  boots: Count,
  series: Count,
});
export type HistoryStatus = Static<typeof HistoryStatusSchema>;
