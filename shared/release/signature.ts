import {
  createPrivateKey,
  createPublicKey,
  generateKeyPairSync,
  type KeyObject,
  sign,
  verify,
} from 'node:crypto';
import Type, { type Static } from 'typebox';
import { AppError } from '../errors.ts';
import { sha256 } from '../files.ts';
import type { Signature } from '../protocol/release.ts';

/** What an id of a key looks like: the first 16 digits of the SHA-256 of its 32 bytes. */
export const KEY_ID_PATTERN = '^[0-9a-f]{16}$';
const KEY_PATTERN = '^[A-Za-z0-9+/]{43}=$';
const KEY = new RegExp(KEY_PATTERN);

/** The public half of an Ed25519 key pair. */
export const PublicKeySchema = Type.Object({
  id: Type.String({ pattern: KEY_ID_PATTERN }),
  /** Its 32 bytes, base64. */
  key: Type.String({ pattern: KEY_PATTERN }),
});
export type PublicKey = Static<typeof PublicKeySchema>;

/**
 * A public key by its bytes.
 * @param key 32 bytes, base64
 * @returns undefined when it is anything else, or the same bytes written in another way
 */
export function publicKeyOf(key: string): PublicKey | undefined {
  if (!KEY.test(key)) return undefined;
  const bytes = Buffer.from(key, 'base64');
  // The last digit has two bits to spare: one key has one text.
  if (bytes.toString('base64') !== key) return undefined;
  return { id: sha256(bytes).slice(0, 16), key };
}

/** Makes an Ed25519 key pair; the private half is PKCS#8 in PEM. */
export function createKeyPair(): { readonly privatePem: string; readonly publicKey: PublicKey } {
  const { privateKey } = generateKeyPairSync('ed25519');
  const privatePem = privateKey.export({ type: 'pkcs8', format: 'pem' }).toString();
  return { privatePem, publicKey: publicHalfOf(privatePem) };
}

/**
 * The public half of a private key.
 * @param privatePem PKCS#8 in PEM
 * @throws AppError `invalid` when it is no Ed25519 key, in words that repeat nothing of it
 */
export function publicHalfOf(privatePem: string): PublicKey {
  const { x } = createPublicKey(privateKeyOf(privatePem)).export({ format: 'jwk' });
  const key = publicKeyOf(Buffer.from(x ?? '', 'base64url').toString('base64'));
  if (key === undefined) throw new AppError('invalid', 'the private key has no public half of 32 bytes');
  return key;
}

function privateKeyOf(privatePem: string): KeyObject {
  let key: KeyObject;
  try {
    key = createPrivateKey(privatePem);
  } catch {
    // Without the cause: nothing of a private key may reach a message.
    throw new AppError('invalid', 'not a private key in PEM without a passphrase');
  }
  if (key.asymmetricKeyType === 'ed25519') return key;
  throw new AppError('invalid', `expected a private key of Ed25519, found ${key.asymmetricKeyType}`);
}

/**
 * Signs exact bytes.
 * @throws AppError `invalid` as `publicHalfOf`
 */
export function signBytes(privatePem: string, bytes: Uint8Array): Signature {
  const value = sign(null, bytes, privateKeyOf(privatePem)).toString('base64');
  return { keyId: publicHalfOf(privatePem).id, value };
}

/** Whether this key made this signature over exactly these bytes (RFC 8032, Ed25519). Never throws. */
export function isSignedBy(bytes: Uint8Array, signature: Signature, key: PublicKey): boolean {
  // An id is a name that anybody can write down; it has to be that of the bytes which are calculated with.
  if (signature.keyId !== key.id || publicKeyOf(key.key)?.id !== key.id) return false;
  try {
    const x = Buffer.from(key.key, 'base64').toString('base64url');
    const publicKey = createPublicKey({ key: { kty: 'OKP', crv: 'Ed25519', x }, format: 'jwk' });
    return verify(null, bytes, publicKey, Buffer.from(signature.value, 'base64'));
  } catch {
    return false;
  }
}
