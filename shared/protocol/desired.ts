import Type, { type Static } from 'typebox';
import { IdSchema } from './ids.ts';

/**
 * Version of a desired document. `epoch` grows when a controller is restored from a backup, `n` with
 * every change; documents are compared by epoch, then n.
 */
export const VersionSchema = Type.Object({
  epoch: Type.Integer({ minimum: 1 }),
  n: Type.Integer({ minimum: 0 }),
});
export type Version = Static<typeof VersionSchema>;

/** Whether `candidate` is newer than `current`; anything is newer than nothing. */
export function isNewer(candidate: Version, current: Version | undefined): boolean {
  if (current === undefined) return true;
  return candidate.epoch !== current.epoch ? candidate.epoch > current.epoch : candidate.n > current.n;
}

/** A device's membership of a group; where two groups state a field, the higher priority wins, then the name. */
export const MembershipSchema = Type.Object({ name: IdSchema, priority: Type.Integer() });
export type Membership = Static<typeof MembershipSchema>;

const FieldsSchema = Type.Record(Type.String(), Type.Unknown());

/**
 * What the controller wants of a fleet, a group or a device. The fields of `requirement` and `settings`
 * are left open here: the agent checks each by itself, so that one that it does not understand or cannot
 * do is refused without losing the rest.
 */
export const DesiredSchema = Type.Object({
  version: VersionSchema,
  requirement: Type.Optional(FieldsSchema),
  settings: Type.Optional(FieldsSchema),
});
export type Desired = Static<typeof DesiredSchema>;

/** The desired document of one device also names its groups, whose documents it then follows. */
export const DeviceDesiredSchema = Type.Object({
  version: VersionSchema,
  requirement: Type.Optional(FieldsSchema),
  settings: Type.Optional(FieldsSchema),
  groups: Type.Optional(Type.Array(MembershipSchema, { maxItems: 64 })),
  /** Orders of rollouts (`OrderSchema`), left open here for the same reason. */
  family: Type.Optional(Type.Unknown()),
  program: Type.Optional(Type.Unknown()),
});
export type DeviceDesired = Static<typeof DeviceDesiredSchema>;
