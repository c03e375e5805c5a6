import Type, { type Static } from 'typebox';
import { envelopeOf } from './envelope.ts';
import { RequirementSchema } from './requirement.ts';

/** Beyond it integers are not exact, and not every store takes them. */
const Count = Type.Integer({ minimum: 0, maximum: Number.MAX_SAFE_INTEGER });

/** A processing element: where inference runs. */
export const ProcessingElementSchema = Type.Union([Type.Literal('cpu'), Type.Literal('gpu')]);
export type ProcessingElement = Static<typeof ProcessingElementSchema>;

/** What one operating point did in a window. */
export const PointWindowSchema = Type.Object({
  pe: ProcessingElementSchema,
  level: Count,
  inferences: Count,
  /** Inferences that took longer than the latency budget in force. */
  misses: Count,
  /** Inferences of frames whose label is known, and how many of those were answered rightly. */
  labelled: Count,
  correct: Count,
  /** Latency of an inference from the frame's arrival to its answer, milliseconds. */
  latencySumMs: Type.Number({ minimum: 0 }),
  latencyMinMs: Type.Number({ minimum: 0 }),
  latencyMaxMs: Type.Number({ minimum: 0 }),
  /** DDSketch of the latencies, relative error 1 %, in the encoding of `shared/sketch.ts`. */
  latencySketch: Type.String({ maxLength: 16_384 }),
});
export type PointWindow = Static<typeof PointWindowSchema>;

/** One telemetry window: what the device did in `durationMs` before the envelope's `ts`. */
export const WindowSchema = Type.Object({
  durationMs: Type.Number({ minimum: 0 }),
  /** SHA-256 of the manifest of the family that was served at the end of the window. */
  family: Type.String({ pattern: '^[0-9a-f]{64}$' }),
  points: Type.Array(PointWindowSchema, { maxItems: 256 }),
  switches: Count,
  /** Frames that were skipped because a newer one was there. */
  skipped: Count,
  /** Frames that could not be read. */
  unreadable: Count,
  /** Inferences that failed. */
  failed: Count,
  /** Frames given up because not even the fastest operating point would have been in time. */
  sheds: Type.Optional(Count),
  /** The manager's slowdown estimate at the end: measured latency as a multiple of the profile's. */
  slowdown: Type.Number({ minimum: 0 }),
  /** Accuracy per joule that the manager reckoned with at the end: the fleet's price and the local surcharge. */
  price: Type.Optional(Type.Number({ minimum: 0 })),
  /** The requirement in force at the end of the window. */
  requirement: RequirementSchema,
});
export type WindowBody = Static<typeof WindowSchema>;

export const WindowEnvelopeSchema = envelopeOf(WindowSchema);
export type WindowEnvelope = Static<typeof WindowEnvelopeSchema>;

/** What topic `t` carries: one window, or a batch. */
export const TelemetrySchema = Type.Union([
  WindowEnvelopeSchema,
  Type.Array(WindowEnvelopeSchema, { minItems: 1, maxItems: 1_000 }),
]);
