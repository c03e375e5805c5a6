import Type, { type Static } from 'typebox';
import { ExplanationSchema, MAX_EXPLAINED } from './explanation.ts';

/**
 * What can be asked of an agent. `logs` answers with its newest log lines, `explain` with its decisions around
 * a time, `profile` with the figures of its operating points, `audit` with what audits say of them.
 */
export const COMMAND_KINDS = ['ping', 'restart', 'logs', 'explain', 'profile', 'audit'] as const;
export type CommandKind = (typeof COMMAND_KINDS)[number];

export const PROFILE_ACTIONS = ['show', 'measure'] as const;
export type ProfileAction = (typeof PROFILE_ACTIONS)[number];

/** A command; its id is in the topic. It is never retained, and not carried out after `expiresAt`. */
export const CommandSchema = Type.Object({
  v: Type.Literal(1),
  kind: Type.String({ maxLength: 32 }),
  /** Wall clock of the controller, milliseconds since the epoch. */
  expiresAt: Type.Number({ minimum: 0 }),
  /** `logs`: how many lines at most. */
  lines: Type.Optional(Type.Integer({ minimum: 1, maximum: 1_000 })),
  /** `explain`: around which time, milliseconds since the epoch; without it, the newest. */
  at: Type.Optional(Type.Number({ minimum: 0, maximum: 8.64e15 })),
  /** `explain`: nothing older than this. */
  since: Type.Optional(Type.Number({ minimum: 0, maximum: 8.64e15 })),
  /** `explain`: how many decisions at most. */
  limit: Type.Optional(Type.Integer({ minimum: 1, maximum: MAX_EXPLAINED })),
  /** `profile`: tell what is known, or measure it anew. */
  action: Type.Optional(Type.Enum([...PROFILE_ACTIONS])),
});
export type Command = Static<typeof CommandSchema>;

/** The answer; repeated, unchanged, when the same id is asked again. */
export const CommandResultSchema = Type.Object({
  v: Type.Literal(1),
  state: Type.Union([
    Type.Literal('done'),
    Type.Literal('failed'),
    Type.Literal('expired'),
    Type.Literal('unknown-kind'),
  ]),
  ts: Type.Number({ minimum: 0 }),
  reason: Type.Optional(Type.String({ maxLength: 1_024 })),
  /** `logs`: the lines, oldest first, each one JSON object. Of other commands: the answer in words. */
  lines: Type.Optional(Type.Array(Type.String())),
  /** `explain`: the same as data. */
  explanation: Type.Optional(ExplanationSchema),
  /** `profile`, `audit`: the same as data, shown and not interpreted. */
  data: Type.Optional(Type.Record(Type.String(), Type.Unknown())),
});
export type CommandResult = Static<typeof CommandResultSchema>;
