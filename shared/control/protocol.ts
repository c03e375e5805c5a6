import Type, { type Static } from 'typebox';
import { PROFILE_ACTIONS } from '../protocol/command.ts';
import { ExplanationSchema, MAX_EXPLAINED } from '../protocol/explanation.ts';

/**
 * What the command line asks a running agent over its socket: one line of JSON, answered with one document.
 * Times are milliseconds since the epoch.
 */
export const CONTROL_VERSION = 1;

/** Inferences of one answer: all that an agent keeps. */
export const MAX_INFERENCES = 100_000;

const v = Type.Literal(CONTROL_VERSION);
const Time = Type.Number({ minimum: 0, maximum: 8.64e15 });

const StatusRequest = Type.Object({ v, kind: Type.Literal('status') });
const ExplainRequest = Type.Object({
  v,
  kind: Type.Literal('explain'),
  at: Type.Optional(Time),
  since: Type.Optional(Time),
  limit: Type.Optional(Type.Integer({ minimum: 1, maximum: MAX_EXPLAINED })),
});
const InferencesRequest = Type.Object({
  v,
  kind: Type.Literal('inferences'),
  since: Type.Optional(Time),
  limit: Type.Optional(Type.Integer({ minimum: 1, maximum: MAX_INFERENCES })),
});
const ProfileRequest = Type.Object({
  v,
  kind: Type.Literal('profile'),
  action: Type.Enum([...PROFILE_ACTIONS]),
});

export const ControlRequestSchema = Type.Union([
  StatusRequest,
  ExplainRequest,
  InferencesRequest,
  ProfileRequest,
]);
export type ControlRequest = Static<typeof ControlRequestSchema>;
export type ControlKind = ControlRequest['kind'];
export type ControlRequestOf<K extends ControlKind> = Extract<ControlRequest, { kind: K }>;

/** An answer, or why there is none; the code is one of the error table. */
export type ControlReply =
  | { readonly v: typeof CONTROL_VERSION; readonly answer: unknown }
  | {
      readonly v: typeof CONTROL_VERSION;
      readonly error: { readonly code: string; readonly message: string };
    };

/** The answer to `explain`. */
export const ExplainAnswerSchema = Type.Object({
  lines: Type.Array(Type.String()),
  explanation: ExplanationSchema,
});

/** The answer to `inferences`, oldest first. */
export const InferencesAnswerSchema = Type.Object({
  inferences: Type.Array(
    Type.Object({
      ts: Type.Number(),
      monoMs: Type.Number(),
      pe: Type.String(),
      level: Type.Integer(),
      latencyMs: Type.Number(),
      /** Latency budget in force; absent without one. */
      budgetMs: Type.Optional(Type.Number()),
      missed: Type.Boolean(),
    }),
  ),
});
export type InferencesAnswer = Static<typeof InferencesAnswerSchema>;

/** The answer to `profile`: words for people, and the same as data that is shown and not interpreted. */
export const ProfileAnswerSchema = Type.Object({
  lines: Type.Array(Type.String()),
  data: Type.Record(Type.String(), Type.Unknown()),
});
export type ProfileAnswer = Static<typeof ProfileAnswerSchema>;
