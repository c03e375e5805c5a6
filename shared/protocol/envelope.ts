import Type, { type Static, type TSchema } from 'typebox';
import { BootIdSchema, IdSchema } from './ids.ts';
import { PROTOCOL_VERSION } from './topics.ts';

/** `synced`: the wall clock is trusted; `unsynced`: no time source yet, `ts` is a guess. */
export const ClockStateSchema = Type.Union([Type.Literal('synced'), Type.Literal('unsynced')]);
export type ClockState = Static<typeof ClockStateSchema>;

/** The envelope of everything that has a sequence number. */
export function envelopeOf<B extends TSchema>(body: B) {
  return Type.Object({
    v: Type.Literal(PROTOCOL_VERSION),
    device: IdSchema,
    bootId: BootIdSchema,
    /** One counter per boot, from 1, over windows and events alike. */
    seq: Type.Integer({ minimum: 1, maximum: Number.MAX_SAFE_INTEGER }),
    /** Wall clock at the end of the window or at the event, milliseconds since the epoch. */
    ts: Type.Number({ minimum: 0, maximum: 8.64e15 }),
    /** Monotonic clock at the same moment, milliseconds since the boot of the agent. */
    monoMs: Type.Number({ minimum: 0 }),
    clock: ClockStateSchema,
    body,
  });
}
