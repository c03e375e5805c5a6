import Type, { type Static } from 'typebox';
import { IdSchema } from '../../shared/protocol/ids.ts';
import { KeyringMessageSchema } from '../../shared/protocol/release.ts';
import { KeyringSchema } from '../../shared/release/keyring.ts';

/** The fleet's keyring: as it was signed, and what it says. */
export const KeyringAnswerSchema = Type.Object({
  fleet: IdSchema,
  /** Null until the first one was put. */
  current: Type.Union([Type.Object({ keyring: KeyringSchema, message: KeyringMessageSchema }), Type.Null()]),
});
export type KeyringAnswer = Static<typeof KeyringAnswerSchema>;

export const KeyringPutQuerySchema = Type.Object(
  {
    /** Takes it as if there were none: after the root was lost. Agents still believe their pinned roots only. */
    anew: Type.Optional(Type.Boolean()),
  },
  { additionalProperties: false },
);
