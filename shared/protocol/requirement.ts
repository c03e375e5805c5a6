import Type, { type Static } from 'typebox';

/** What must not give way first when not everything can be met; the first named yields last. */
export const PrioritySchema = Type.Union([Type.Literal('latency'), Type.Literal('accuracy')]);
export type Priority = Static<typeof PrioritySchema>;

/** Each field of a requirement by itself: a wrong one is refused without taking the others along. */
export const REQUIREMENT_FIELDS = {
  /** Latency budget of one inference, milliseconds. */
  latencyMs: Type.Number({ exclusiveMinimum: 0, maximum: 600_000 }),
  /** Share of inferences that may miss the latency budget, 0..1. */
  missShare: Type.Number({ minimum: 0, exclusiveMaximum: 1 }),
  /** Smallest top-1 accuracy that a level may have, 0..1. */
  accuracyFloor: Type.Number({ minimum: 0, maximum: 1 }),
  /** Which of latency and accuracy is kept when both cannot be. */
  priority: PrioritySchema,
} as const;

/** A requirement in force, or the part of one that a scope states. */
export const RequirementSchema = Type.Partial(Type.Object(REQUIREMENT_FIELDS));
export type Requirement = Static<typeof RequirementSchema>;

export const LOG_LEVELS = ['trace', 'debug', 'info', 'warn', 'error'] as const;

/** Remote settings of an agent, each field by itself. */
export const SETTINGS_FIELDS = {
  /** Length of a telemetry window, milliseconds. */
  windowMs: Type.Integer({ minimum: 100, maximum: 3_600_000 }),
  /** Frames taken from the source per second. */
  frameRate: Type.Number({ exclusiveMinimum: 0, maximum: 1_000 }),
  logLevel: Type.Enum([...LOG_LEVELS]),
} as const;

export const SettingsSchema = Type.Partial(Type.Object(SETTINGS_FIELDS));
export type Settings = Static<typeof SettingsSchema>;
