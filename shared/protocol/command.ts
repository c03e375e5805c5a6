import Type, { type Static } from 'typebox';

/** What can be asked of an agent. `logs` answers with its newest log lines. */
export const COMMAND_KINDS = ['ping', 'restart', 'logs'] as const;
export type CommandKind = (typeof COMMAND_KINDS)[number];

/** A command; its id is in the topic. It is never retained, and not carried out after `expiresAt`. */
export const CommandSchema = Type.Object({
  v: Type.Literal(1),
  kind: Type.String({ maxLength: 32 }),
  /** Wall clock of the controller, milliseconds since the epoch. */
  expiresAt: Type.Number({ minimum: 0 }),
  /** `logs`: how many lines at most. */
  lines: Type.Optional(Type.Integer({ minimum: 1, maximum: 1_000 })),
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
  /** `logs`: the lines, oldest first, each one JSON object. */
  lines: Type.Optional(Type.Array(Type.String())),
});
export type CommandResult = Static<typeof CommandResultSchema>;
