import { KeyringMessageSchema } from '../../../shared/protocol/release.ts';
import type { Keys } from '../../keys/keys.ts';
import type { Server } from '../context.ts';
import { type KeyringAnswer, KeyringAnswerSchema, KeyringPutQuerySchema } from '../keyring-schemas.ts';

/** What the routes of the keyring answer from. */
export interface KeyringContext {
  readonly keys: Keys;
}

const tags = ['releases'];

/** Whose signatures count for the fleet. */
export function addKeyringRoutes(server: Server, { keys }: KeyringContext): void {
  const answer = (): KeyringAnswer => ({ fleet: keys.fleet, current: keys.current() ?? null });
  server.get(
    '/v1/keyring',
    {
      schema: { tags, summary: 'Show whose signatures count', response: { 200: KeyringAnswerSchema } },
    },
    answer,
  );
  server.put(
    '/v1/keyring',
    {
      schema: {
        tags,
        summary: 'Put a signed keyring in force; it must be newer, and signed by a root of the one before it',
        querystring: KeyringPutQuerySchema,
        body: KeyringMessageSchema,
        response: { 200: KeyringAnswerSchema },
      },
    },
    ({ body, query }) => {
      keys.put(body, query);
      return answer();
    },
  );
}
