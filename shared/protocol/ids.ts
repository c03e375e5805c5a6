import Type from 'typebox';

/** What an id of a fleet, device or group looks like. */
export const ID_PATTERN = '^[a-z0-9][a-z0-9-]{0,62}$';
const ID = new RegExp(ID_PATTERN);

export const IdSchema = Type.String({ pattern: ID_PATTERN });

/** Whether `text` may be the id of a fleet, a device or a group. */
export function isId(text: string): boolean {
  return ID.test(text);
}

/** Id of one start of a program: new at every start. */
export const BootIdSchema = Type.String({ pattern: '^[0-9a-f-]{8,36}$' });

/** The fleet, a group or a device: where a budget or a setting applies. */
export type ScopeKind = 'fleet' | 'group' | 'device';
