import Type, { type Static } from 'typebox';
import { BootIdSchema } from './ids.ts';

/** Milliseconds since the epoch, as far as a date goes. */
const TimeSchema = Type.Number({ minimum: 0, maximum: 8.64e15 });
const PresenceSchema = Type.Union([Type.Literal('online'), Type.Literal('offline')]);

/** Retained presence of the controller, and its will. `session` is new at every connection. */
export const ControllerStatusSchema = Type.Object({
  state: PresenceSchema,
  session: Type.String({ maxLength: 64 }),
  ts: TimeSchema,
});
export type ControllerStatus = Static<typeof ControllerStatusSchema>;

/** Retained presence of an agent, and its will; a late will of an older session is known by its `session`. */
export const DeviceStatusSchema = Type.Object({
  state: PresenceSchema,
  session: Type.String({ maxLength: 64 }),
  bootId: BootIdSchema,
  ts: TimeSchema,
});
export type DeviceStatus = Static<typeof DeviceStatusSchema>;
