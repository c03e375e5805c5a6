import Type, { type Static } from 'typebox';

/** What can be limited; in the order in which limits are kept where nothing is said of it. */
export const LIMITS = ['temperature', 'latency', 'accuracy', 'energy'] as const;
export type Limit = (typeof LIMITS)[number];

/** Assumed where a requirement does not say which share of inferences may miss the latency budget. */
export const DEFAULT_MISS_SHARE = 0.05;

const LIMIT_PATTERN = `(?:${LIMITS.join('|')})`;
/** Refuses a text in which the same word stands twice. */
const NO_WORD_TWICE = '(?!(?:.*,)?([a-z]+),(?:.*,)?\\1(?:,|$))';

/**
 * Limits in the order in which they are kept when not all of them can be, each at most once, as in `accuracy`
 * or `latency,energy`.
 */
export const PrioritySchema = Type.String({
  pattern: `^${NO_WORD_TWICE}${LIMIT_PATTERN}(?:,${LIMIT_PATTERN})*$`,
  maxLength: 64,
});
export type Priority = Static<typeof PrioritySchema>;

/** All limits, the one to keep longest first: those that `priority` names, then the others in their usual order. */
export function orderOfLimits(priority: Priority | undefined): readonly Limit[] {
  const named = priority?.split(',') ?? [];
  const first = named.flatMap((name) => LIMITS.find((limit) => limit === name) ?? []);
  return [...new Set([...first, ...LIMITS])];
}

/** Each field of a requirement by itself: a wrong one is refused without taking the others along. */
export const REQUIREMENT_FIELDS = {
  /** Latency budget of one inference, from its arrival, milliseconds. */
  latencyMs: Type.Number({ exclusiveMinimum: 0, maximum: 600_000 }),
  /** Share of inferences that may miss the latency budget, 0..1. */
  missShare: Type.Number({ minimum: 0, exclusiveMaximum: 1 }),
  /** Smallest top-1 accuracy that a level may have, 0..1. */
  accuracyFloor: Type.Number({ minimum: 0, maximum: 1 }),
  /** Average power of the device, watts. */
  powerW: Type.Number({ exclusiveMinimum: 0, maximum: 100_000 }),
  /** Energy of one inference above idle, on average, joules. */
  energyJ: Type.Number({ exclusiveMinimum: 0, maximum: 1_000_000 }),
  /** Temperature that the hottest zone must not pass, degrees Celsius. */
  tempC: Type.Number({ minimum: 0, maximum: 150 }),
  /** Accuracy that one joule is worth: the fleet's energy budget as one number. */
  price: Type.Number({ minimum: 0, maximum: 1_000_000 }),
  /** Which limits are kept when not all of them can be. */
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
