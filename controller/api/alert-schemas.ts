import Type, { type Static } from 'typebox';
import { IdSchema } from '../../shared/protocol/ids.ts';
import { TargetQuerySchema } from './schemas.ts';

/** What the controller watches, each by device except the last, which is of the controller itself. */
export const ALERT_RULES = [
  'budget-violated',
  'device-silent',
  'throttled',
  'drifting',
  'cpu-fallback',
  'outbox-old',
  'identity-conflict',
  'history-stalled',
] as const;
export type AlertRule = (typeof ALERT_RULES)[number];

/** The worst first. */
export const ALERT_SEVERITIES = ['critical', 'warning'] as const;
export type AlertSeverity = (typeof ALERT_SEVERITIES)[number];

/** Seen but not yet for long enough; in force; over. */
export const ALERT_STATES = ['pending', 'firing', 'resolved'] as const;
export type AlertState = (typeof ALERT_STATES)[number];

/** An alert. Times are milliseconds since the epoch, by the controller's clock. */
export const AlertRowSchema = Type.Object({
  id: Type.String(),
  rule: Type.Enum([...ALERT_RULES]),
  /** Null where it is of the controller itself. */
  device: Type.Union([IdSchema, Type.Null()]),
  severity: Type.Enum([...ALERT_SEVERITIES]),
  state: Type.Enum([...ALERT_STATES]),
  /** What is the matter, in a line for people. */
  text: Type.String(),
  /** Since when it is so, as far as is known. */
  sinceTs: Type.Number(),
  firedTs: Type.Optional(Type.Number()),
  resolvedTs: Type.Optional(Type.Number()),
});
export type AlertRow = Static<typeof AlertRowSchema>;

/** Without a state: those that are not resolved. */
export const AlertQuerySchema = Type.Object(
  {
    ...TargetQuerySchema.properties,
    state: Type.Optional(Type.Enum([...ALERT_STATES])),
    limit: Type.Integer({ minimum: 1, maximum: 10_000, default: 1_000 }),
  },
  { additionalProperties: false },
);
export type AlertQuery = Static<typeof AlertQuerySchema>;

/** The worst first, then the newest; resolved ones with the one that was resolved last first. */
export const AlertListSchema = Type.Object({ alerts: Type.Array(AlertRowSchema) });
export type AlertList = Static<typeof AlertListSchema>;

/**
 * What a webhook is told of one alert that fires or is resolved. It may come more than once: `notification`
 * is the same each time.
 */
export const AlertNotificationSchema = Type.Object({
  ...AlertRowSchema.properties,
  notification: Type.String(),
  fleet: IdSchema,
});
export type AlertNotification = Static<typeof AlertNotificationSchema>;
