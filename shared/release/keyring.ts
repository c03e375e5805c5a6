import Type, { type Static } from 'typebox';
import { AppError } from '../errors.ts';
import { IdSchema } from '../protocol/ids.ts';
import type { KeyringMessage } from '../protocol/release.ts';
import { type Parser, parseJson, parserOf } from '../schema.ts';
import { MAX_ROOTS } from './roots.ts';
import {
  isSignedBy,
  KEY_ID_PATTERN,
  type PublicKey,
  PublicKeySchema,
  publicKeyOf,
  signBytes,
} from './signature.ts';

/** Unpacked from base64; what the protocol's message holds. */
export const MAX_KEYRING_BYTES = 72 * 1024;
export const MAX_PUBLISHERS = 64;
export const MAX_REVOKED = 1_024;
/** A message holds so many; those of the roots that count come first. */
const MAX_SIGNATURES = 16;

const TimeSchema = Type.Number({ minimum: 0, maximum: 8.64e15 });

/** Whose signatures count: roots sign keyrings, publishers sign releases. */
export const KeyringSchema = Type.Object({
  format: Type.Literal(1),
  document: Type.Literal('keyring'),
  /** Only goes up. */
  version: Type.Integer({ minimum: 1, maximum: Number.MAX_SAFE_INTEGER }),
  createdTs: TimeSchema,
  roots: Type.Array(PublicKeySchema, { minItems: 1, maxItems: MAX_ROOTS }),
  publishers: Type.Array(Type.Object({ name: IdSchema, ...PublicKeySchema.properties }), {
    maxItems: MAX_PUBLISHERS,
  }),
  /** Ids of keys whose signatures count no more, whatever else says that they do. */
  revoked: Type.Array(Type.String({ pattern: KEY_ID_PATTERN }), { maxItems: MAX_REVOKED }),
});
export type Keyring = Static<typeof KeyringSchema>;

/** A keyring, and exactly what was signed. */
export interface SignedKeyring {
  readonly keyring: Keyring;
  readonly message: KeyringMessage;
}

/** What a keyring is judged by. */
export interface Trust {
  /** Roots that an operator wrote down; they count until the first keyring is accepted. */
  readonly pinned: readonly PublicKey[];
  /** What was accepted last. */
  readonly current?: SignedKeyring | undefined;
}

const parseSchema = parserOf(KeyringSchema);

/**
 * Judges a keyring that came. In order:
 *  1. size, and base64 that has one reading
 *  2. the bytes that are in force already: nothing new, no failure
 *  3. a signature by a root that is trusted: one of the keyring in force, or, before there is one, a pinned one
 *  4. only now JSON, schema and what a schema cannot say: ids are those of their keys, a key has one role, a name
 *     has one key, none is revoked as well
 *  5. a version above the one in force
 *  6. a signature by every root that is new: whoever hands over to a root shows that somebody holds it
 *
 * Of the attacks that TUF lists (The Update Framework, specification 1.0, section 1.5.2) this stops arbitrary
 * keys, endless data, and rollback to an older keyring on a device that remembers a newer one. A controller or a
 * broker that is not honest can still hold a newer keyring back (freeze): a keyring has no expiry, as a fleet that
 * is offline for months must go on; a release has one, which bounds for how long a revoked key is of use. A device
 * that was wiped remembers no version, and takes the oldest keyring that its pinned root signed. One root is
 * enough; there is no threshold. A root whose private half is stolen is rotated out, which devices learn that can
 * be reached before the thief reaches them.
 *
 * A device that missed the rotation of a root follows while the roots before sign along; after that, and after
 * one was wiped that has only the old root pinned, an operator pins the new one.
 *
 * @throws AppError `invalid` when it is not good, `conflict` when it is older than, or differs from, the one in
 * force with its version
 */
export function acceptKeyring(message: KeyringMessage, { pinned, current }: Trust): Keyring {
  const bytes = bytesOf(message);
  if (current !== undefined && message.document === current.message.document) return current.keyring;
  const trusted = current?.keyring.roots ?? pinned;
  if (!isSignedByOne(bytes, message, trusted)) throw unsigned(message, trusted);
  const keyring = parseKeyring(bytes);
  if (current !== undefined) checkNewer(keyring.version, current.keyring.version);
  checkNewRoots(bytes, message, { roots: keyring.roots, trusted });
  return keyring;
}

/**
 * Reads a keyring that nothing stands behind yet but the way it came (trust on first use): it has to be signed by
 * each of its own roots.
 * @throws AppError `invalid`
 */
export function trustFirstKeyring(message: KeyringMessage): Keyring {
  const bytes = bytesOf(message);
  const keyring = parseKeyring(bytes);
  checkNewRoots(bytes, message, { roots: keyring.roots, trusted: [] });
  return keyring;
}

/**
 * Reads a keyring that was accepted before, from where it was kept: its signatures are not looked at.
 * @throws AppError `invalid`
 */
export function readKeyring(message: KeyringMessage): Keyring {
  return parseKeyring(bytesOf(message));
}

/**
 * Signs a keyring.
 * @param privatePems of its roots, of the roots of the keyring before it, and of older ones, those that count first;
 * what a message has no room for is left out
 * @throws AppError `invalid` when it is no keyring that others would take
 */
export function signKeyring(keyring: Keyring, privatePems: readonly string[]): KeyringMessage {
  const bytes = new TextEncoder().encode(JSON.stringify(keyring));
  checkSize(bytes.length);
  parseKeyring(bytes);
  return {
    v: 1,
    document: Buffer.from(bytes).toString('base64'),
    signatures: privatePems.slice(0, MAX_SIGNATURES).map((pem) => signBytes(pem, bytes)),
  };
}

function bytesOf({ document }: KeyringMessage): Uint8Array {
  checkSize(Math.floor((document.length * 3) / 4));
  const bytes = Buffer.from(document, 'base64');
  if (bytes.toString('base64') === document) return bytes;
  throw new AppError('invalid', 'keyring: its document is not base64');
}

function checkSize(bytes: number): void {
  if (bytes <= MAX_KEYRING_BYTES) return;
  throw new AppError('invalid', `keyring: ${bytes} bytes, at most ${MAX_KEYRING_BYTES} are taken`);
}

function isSignedByOne(
  bytes: Uint8Array,
  { signatures }: KeyringMessage,
  keys: readonly PublicKey[],
): boolean {
  return keys.some((key) => signatures.some((signature) => isSignedBy(bytes, signature, key)));
}

function unsigned({ signatures }: KeyringMessage, trusted: readonly PublicKey[]): AppError {
  if (trusted.length === 0) return new AppError('invalid', 'keyring: no root is pinned to check it with');
  const found = namesOf(signatures.map(({ keyId }) => keyId));
  const wanted = namesOf(trusted.map(({ id }) => id));
  return new AppError(
    'invalid',
    `keyring: no good signature by a root that is trusted (${wanted}); it names ${found}`,
  );
}

function namesOf(ids: readonly string[]): string {
  const shown = ids.slice(0, 3).join(', ');
  return ids.length > 3 ? `${shown} and ${ids.length - 3} more` : shown;
}

function checkNewer(version: number, current: number): void {
  if (version > current) return;
  throw new AppError(
    'conflict',
    version < current
      ? `keyring: version ${version} is older than version ${current}, which is in force`
      : `keyring: version ${version} is in force with other content`,
  );
}

function checkNewRoots(
  bytes: Uint8Array,
  message: KeyringMessage,
  { roots, trusted }: { readonly roots: readonly PublicKey[]; readonly trusted: readonly PublicKey[] },
): void {
  const known = new Set(trusted.map(({ id }) => id));
  const missing = roots.find((root) => !known.has(root.id) && !isSignedByOne(bytes, message, [root]));
  if (missing === undefined) return;
  throw new AppError('invalid', `keyring: root ${missing.id} is new and has not signed it`);
}

function parseKeyring(bytes: Uint8Array): Keyring {
  return parseDocument(bytes, parseChecked, 'keyring');
}

const utf8 = new TextDecoder('utf-8', { fatal: true });

/**
 * Reads a signed document: UTF-8, JSON, schema. To be used after its signature.
 * @throws AppError `invalid`
 */
export function parseDocument<T>(bytes: Uint8Array, parse: Parser<T>, what: string): T {
  let text: string;
  try {
    text = utf8.decode(bytes);
  } catch (cause) {
    throw new AppError('invalid', `${what}: not UTF-8`, { cause });
  }
  return parseJson(text, parse, what);
}

function parseChecked(value: unknown, what: string): Keyring {
  const keyring = parseSchema(value, what);
  const problem = problemOf(keyring);
  if (problem !== undefined) throw new AppError('invalid', `${what}: ${problem}`);
  return keyring;
}

function problemOf({ roots, publishers, revoked }: Keyring): string | undefined {
  const keys = [...roots, ...publishers];
  const misnamed = keys.find(({ id, key }) => publicKeyOf(key)?.id !== id);
  if (misnamed !== undefined) return `${misnamed.id} is not the id of its key`;
  const twice = firstRepeated(keys.map(({ id }) => id));
  if (twice !== undefined) return `key ${twice} is in it twice; a key has one role`;
  const name = firstRepeated(publishers.map((publisher) => publisher.name));
  if (name !== undefined) return `publisher ${name} has two keys`;
  const gone = new Set(revoked);
  const both = keys.find(({ id }) => gone.has(id));
  return both === undefined ? undefined : `key ${both.id} is in use and revoked`;
}

function firstRepeated(values: readonly string[]): string | undefined {
  return values.find((value, index) => values.indexOf(value) < index);
}
