import type { KeyringMessage } from '../../shared/protocol/release.ts';
import type { KeyringAnswer } from '../api/keyring-schemas.ts';
import type { Client } from './client.ts';

/** The part of the controller's API that is about keys. */
export interface KeysApi {
  keyring(): Promise<KeyringAnswer>;
  /** @param anew as if there were none */
  putKeyring(message: KeyringMessage, anew: boolean): Promise<KeyringAnswer>;
}

/** The API's calls that are about keys. */
export function keysCalls(client: Client): KeysApi {
  return {
    keyring: () => client({ method: 'GET', path: '/v1/keyring' }),
    putKeyring: (body, anew) =>
      client({ method: 'PUT', path: '/v1/keyring', body, query: anew ? { anew: 'true' } : {} }),
  };
}
