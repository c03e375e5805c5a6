import { encodeMessage } from '../../shared/protocol/messages.ts';
import { type KeyringMessage, KeyringMessageSchema } from '../../shared/protocol/release.ts';
import { topicOf } from '../../shared/protocol/topics.ts';
import {
  acceptKeyring,
  type Keyring,
  readKeyring,
  type SignedKeyring,
  trustFirstKeyring,
} from '../../shared/release/keyring.ts';
import { parseJson, parserOf } from '../../shared/schema.ts';
import type { RetainedMessage } from '../link/retainer.ts';
import type { MetaStore } from '../store/meta-store.ts';

export interface KeysDeps {
  readonly meta: MetaStore;
  /** Brings a message to the broker, now or later. */
  readonly retain: (message: RetainedMessage) => void;
  readonly fleet: string;
}

/** The fleet's keyring: public keys and signatures; nothing here can sign. */
export interface Keys {
  readonly fleet: string;
  /** What is in force; undefined until the first one came. */
  current(): SignedKeyring | undefined;
  /**
   * Takes a keyring and gives it to the fleet. The first one is trusted as it comes: who sends it has the API's
   * token, and agents believe only what their pinned roots signed. Each later one must be signed by a root of the
   * one before it. The one in force may come again.
   * @param options `anew`: as if it were the first one, after the root was lost
   * @throws AppError `invalid`, or `conflict` when it is not newer
   */
  put(message: KeyringMessage, options?: { readonly anew?: boolean | undefined }): Keyring;
  /** As the broker has to hold it. */
  message(): RetainedMessage | undefined;
}

/**
 * Opens what is kept of the keyring.
 * @throws AppError `invalid` when what is kept cannot be read
 */
export function createKeys({ meta, retain, fleet }: KeysDeps): Keys {
  let current = load(meta);
  const message = (): RetainedMessage | undefined =>
    current && {
      topic: topicOf('keyring', { fleet }),
      payload: encodeMessage('keyring', current.message),
    };
  return {
    fleet,
    current: () => current,
    put: (given, { anew = false } = {}) => {
      const isFirst = current === undefined || anew;
      const keyring = isFirst ? trustFirstKeyring(given) : acceptKeyring(given, { pinned: [], current });
      if (keyring === current?.keyring) return keyring;
      // As text it cannot be changed any more by who gave it.
      const kept = encodeMessage('keyring', given);
      meta.set('keyring', kept);
      current = read(kept);
      const retained = message();
      if (retained !== undefined) retain(retained);
      return keyring;
    },
    message,
  };
}

function load(meta: MetaStore): SignedKeyring | undefined {
  const kept = meta.get('keyring');
  return kept === undefined ? undefined : read(kept);
}

function read(kept: string): SignedKeyring {
  const message = parseJson(kept, parserOf(KeyringMessageSchema), 'stored keyring');
  return { keyring: readKeyring(message), message };
}
