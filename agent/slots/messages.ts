import Type, { type Static } from 'typebox';
import { Sha256Schema } from '../../shared/protocol/release.ts';

/*
 * What an agent and the launcher that started it say to each other, over Node's channel between parent and
 * child. The two may be of different versions: fields are only ever added, and what is not known is ignored.
 */

/** Environment set by the launcher: real path of the folder of the state. */
export const LAUNCHED_STATE = 'OFA_AGENT_LAUNCHED_STATE';
/** The program that was started; empty: the one installed by hand. */
export const LAUNCHED_PROGRAM = 'OFA_AGENT_LAUNCHED_PROGRAM';
/** Folder of the program that was installed by hand. */
export const LAUNCHED_BASE = 'OFA_AGENT_LAUNCHED_BASE';

export const SlotSchema = Type.Union([Sha256Schema, Type.Null()]);
const TimeSchema = Type.Number({ minimum: 0, maximum: 8.64e15 });

/** From the agent. */
export const AgentMessageSchema = Type.Union([
  /** It serves. */
  Type.Object({ type: Type.Literal('ready') }),
  /** Start this program instead of me, on trial. */
  Type.Object({
    type: Type.Literal('switch'),
    sha256: SlotSchema,
    /** From `ready` on, it has so long to commit; milliseconds. */
    soakMs: TimeSchema,
    /** From its start on, it has so long to become ready; milliseconds. */
    readyMs: Type.Optional(TimeSchema),
  }),
  /** The program that speaks has proven itself. */
  Type.Object({ type: Type.Literal('commit') }),
  /** What the launcher decided was read, and need not be kept. */
  Type.Object({ type: Type.Literal('verdict-taken') }),
]);
export type AgentMessage = Static<typeof AgentMessageSchema>;

/** From the launcher: what became of a `switch` or a `commit`; it is stored durably. */
export const LauncherAnswerSchema = Type.Object({
  type: Type.Literal('answer'),
  to: Type.Union([Type.Literal('switch'), Type.Literal('commit')]),
  /** Why not. */
  problem: Type.Optional(Type.String()),
});
export type LauncherAnswer = Static<typeof LauncherAnswerSchema>;
