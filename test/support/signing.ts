import { createHash } from 'node:crypto';
import type { KeyringMessage, ReleaseRef } from '../../shared/protocol/release.ts';
import { type Keyring, signKeyring } from '../../shared/release/keyring.ts';
import { chunkCountOf, type ReleaseManifest } from '../../shared/release/manifest.ts';
import { createKeyPair, signBytes } from '../../shared/release/signature.ts';
import { START_TS } from './agent.ts';

export type KeyPair = ReturnType<typeof createKeyPair>;

export function sha256Of(text: string | Uint8Array): string {
  return createHash('sha256').update(text).digest('hex');
}

/** A root and a publisher, with the keyring that says so. */
export interface SigningWorld {
  readonly root: KeyPair;
  readonly publisher: KeyPair;
  readonly keyring: Keyring;
  readonly message: KeyringMessage;
}

export function keyringOf(root: KeyPair, change: Partial<Keyring> = {}): Keyring {
  return {
    ...{ format: 1, document: 'keyring', version: 1, createdTs: START_TS },
    ...{ roots: [root.publicKey], publishers: [], revoked: [] },
    ...change,
  };
}

export function signingWorld(): SigningWorld {
  const root = createKeyPair();
  const publisher = createKeyPair();
  const keyring = keyringOf(root, { publishers: [{ name: 'ci', ...publisher.publicKey }] });
  return { root, publisher, keyring, message: signKeyring(keyring, [root.privatePem]) };
}

const DAY_MS = 86_400_000;

function blobOf(role: ReleaseManifest['blobs'][number]['role'], bytes: number) {
  const chunks = Array.from({ length: chunkCountOf(bytes) }, (_, n) => sha256Of(`${role} ${n}`));
  return { role, sha256: sha256Of(role), bytes, chunks };
}

/** What a good manifest of a full family says. */
export function manifestOf(change: Partial<ReleaseManifest> = {}): ReleaseManifest {
  return {
    ...{ format: 1, document: 'release', kind: 'family', name: 'cars', version: 3, form: 'full' },
    ...{ createdTs: START_TS, expiresTs: START_TS + 30 * DAY_MS },
    blobs: [blobOf('family', 2_000), blobOf('model', 200_000)],
    ...change,
  };
}

/** A manifest as it travels: its exact bytes, and what an order says of them. */
export function signedRelease(
  document: object,
  signer: KeyPair,
): { readonly bytes: Uint8Array; readonly ref: ReleaseRef } {
  const bytes = new TextEncoder().encode(JSON.stringify(document));
  return {
    bytes,
    ref: {
      ...{ name: 'cars', version: 3 },
      manifest: { sha256: sha256Of(bytes), bytes: bytes.length },
      signature: signBytes(signer.privatePem, bytes),
    },
  };
}
