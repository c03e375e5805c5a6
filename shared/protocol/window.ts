import Type, { type Static } from 'typebox';
import { VersionSchema } from './desired.ts';
import { envelopeOf } from './envelope.ts';
import { RequirementSchema } from './requirement.ts';

/** More than any device counts in one window; millions of windows add up to an exact integer. */
export const CountSchema = Type.Integer({ minimum: 0, maximum: 1_000_000_000 });
/** Beyond every unit in use; sums over years and fleets stay finite. */
const LARGEST = 1e15;
export const AmountSchema = Type.Number({ minimum: 0, maximum: LARGEST });
/** What may be below zero too. */
const ReadingSchema = Type.Number({ minimum: -LARGEST, maximum: LARGEST });

/** A processing element: where inference runs. */
export const ProcessingElementSchema = Type.Union([Type.Literal('cpu'), Type.Literal('gpu')]);
export type ProcessingElement = Static<typeof ProcessingElementSchema>;

/** A DDSketch, relative error 1 %, in the encoding of `shared/sketch.ts`. */
const SketchText = Type.String({ maxLength: 16_384 });

/** Values of one kind in a window: exact count, sum and extremes, and a sketch for quantiles. */
export const DistributionSchema = Type.Object({
  count: CountSchema,
  sum: AmountSchema,
  min: AmountSchema,
  max: AmountSchema,
  sketch: SketchText,
});
export type Distribution = Static<typeof DistributionSchema>;

/** What can be known of each inference, in the unit of its name. */
export const DISTRIBUTIONS = ['latencyMs', 'slowdown', 'queueMs', 'energyJ'] as const;
export type DistributionName = (typeof DISTRIBUTIONS)[number];

/** Operating points in one window, at most. */
export const MAX_POINTS = 256;

/** What one operating point did in a window. */
export const PointWindowSchema = Type.Object({
  pe: ProcessingElementSchema,
  level: CountSchema,
  inferences: CountSchema,
  /** Inferences that took longer than the latency budget in force. */
  misses: CountSchema,
  /** Inferences of frames whose label is known, and how many of those were answered rightly. */
  labelled: CountSchema,
  correct: CountSchema,
  /** How long it was the operating point in use, milliseconds. */
  timeMs: Type.Optional(AmountSchema),
  /** Sum of the confidences (largest softmax probability, 0..1) of its inferences. */
  confidenceSum: Type.Optional(AmountSchema),
  /** Audits that ended, and how many of them agreed with the best level. */
  audits: Type.Optional(CountSchema),
  agreed: Type.Optional(CountSchema),
  /** Latency from the frame's arrival to its answer. */
  latencyMs: DistributionSchema,
  /** The run alone as a multiple of the profile. */
  slowdown: Type.Optional(DistributionSchema),
  /** From the frame's arrival to the begin of its run. */
  queueMs: Type.Optional(DistributionSchema),
  /** Energy of an inference above idle; see `energyQuality` of the window. */
  energyJ: Type.Optional(DistributionSchema),
});
export type PointWindow = Static<typeof PointWindowSchema>;

/** What has a value at every moment, weighted by time. */
export const GAUGES = [
  'powerW',
  'tempC',
  'cpuBusy',
  'gpuBusy',
  'cpuFreqHz',
  'gpuFreqHz',
  'memAvailableBytes',
  'rssBytes',
  /** Frames and requests that wait. */
  'queue',
  /** Share of time in which processes wait for a processor (pressure stall information, 10 s average). */
  'cpuPressure',
] as const;
export type GaugeName = (typeof GAUGES)[number];

/** Mean over time, least and greatest value, and for how many milliseconds of the window the value was known. */
export const GaugeSchema = Type.Object({
  mean: ReadingSchema,
  min: ReadingSchema,
  max: ReadingSchema,
  ms: AmountSchema,
});
export type Gauge = Static<typeof GaugeSchema>;

/** How an energy or a power is known. */
export const EnergyQualitySchema = Type.Union([
  Type.Literal('measured'),
  Type.Literal('modelled'),
  Type.Literal('unknown'),
]);
export type EnergyQuality = Static<typeof EnergyQualitySchema>;

/** Longest window. */
export const MAX_WINDOW_MS = 7_200_000;

/** One telemetry window: what the device did in `durationMs` before the envelope's `ts`. */
export const WindowSchema = Type.Object({
  durationMs: Type.Number({ minimum: 0, maximum: MAX_WINDOW_MS }),
  /** SHA-256 of the manifest of the family that was served at the end of the window. */
  family: Type.String({ pattern: '^[0-9a-f]{64}$' }),
  /** Version of the device's own desired document that was in force at the end. */
  desired: Type.Optional(VersionSchema),
  points: Type.Array(PointWindowSchema, { maxItems: MAX_POINTS }),
  switches: CountSchema,
  /** Frames that were skipped because a newer one was there. */
  skipped: CountSchema,
  /** Frames that could not be read. */
  unreadable: CountSchema,
  /** Inferences that failed. */
  failed: CountSchema,
  /** Frames given up because not even the fastest operating point would have been in time. */
  sheds: Type.Optional(CountSchema),
  /** The manager's slowdown estimate at the end: measured latency as a multiple of the profile's. */
  slowdown: AmountSchema,
  /** Accuracy per joule that the manager reckoned with at the end: the fleet's price and the local surcharge. */
  price: Type.Optional(AmountSchema),
  /** Energy that the device used in the window, joules, and for how many milliseconds of it that is known. */
  energyJ: Type.Optional(AmountSchema),
  energyMs: Type.Optional(AmountSchema),
  energyQuality: Type.Optional(EnergyQualitySchema),
  gauges: Type.Optional(
    Type.Partial(
      Type.Object(
        Object.fromEntries(GAUGES.map((name) => [name, GaugeSchema])) as Record<
          GaugeName,
          typeof GaugeSchema
        >,
      ),
    ),
  ),
  /** Records that wait in the outbox, and the age of the oldest, at the end. */
  outboxRecords: Type.Optional(CountSchema),
  outboxAgeMs: Type.Optional(AmountSchema),
  /** Whether audits say that the levels are not worth what they were. */
  drifting: Type.Optional(Type.Boolean()),
  /** The requirement in force at the end of the window. */
  requirement: RequirementSchema,
});
export type WindowBody = Static<typeof WindowSchema>;

const WindowEnvelopeSchema = envelopeOf(WindowSchema);
/** A window as programs reckon with it; `window-wire.ts` has the form that travels. */
export type WindowEnvelope = Static<typeof WindowEnvelopeSchema>;
