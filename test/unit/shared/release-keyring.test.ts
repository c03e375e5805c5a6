import fc from 'fast-check';
import { describe, expect, test } from 'vitest';
import { AppError } from '../../../shared/errors.ts';
import { KeyringMessageSchema } from '../../../shared/protocol/release.ts';
import {
  acceptKeyring,
  type Keyring,
  MAX_KEYRING_BYTES,
  MAX_PUBLISHERS,
  MAX_REVOKED,
  signKeyring,
  type Trust,
  trustFirstKeyring,
} from '../../../shared/release/keyring.ts';
import { formatRootFile, MAX_ROOTS, parseRootFile } from '../../../shared/release/roots.ts';
import {
  createKeyPair,
  isSignedBy,
  publicHalfOf,
  publicKeyOf,
  signBytes,
} from '../../../shared/release/signature.ts';
import { parserOf } from '../../../shared/schema.ts';
import { type KeyPair, keyringOf, sha256Of, signingWorld } from '../../support/signing.ts';

const { root, publisher, keyring, message } = signingWorld();
const pinned = [root.publicKey];
const current = { keyring, message };
const newRoot = createKeyPair();
const stranger = createKeyPair();

function signed(document: Keyring, ...signers: readonly KeyPair[]) {
  return signKeyring(
    document,
    signers.map(({ privatePem }) => privatePem),
  );
}

/** Signed although no honest program would. */
function forged(document: unknown, ...signers: readonly KeyPair[]): typeof message {
  const bytes = Buffer.from(typeof document === 'string' ? document : JSON.stringify(document));
  const signatures = signers.map(({ privatePem }) => signBytes(privatePem, bytes));
  return { v: 1, document: bytes.toString('base64'), signatures };
}

function refusalOf(given: typeof message, trust: Trust): AppError {
  try {
    acceptKeyring(given, trust);
  } catch (error) {
    if (error instanceof AppError) return error;
    throw error;
  }
  throw new Error('it was accepted');
}

const second = keyringOf(root, { version: 2 });

describe('a keyring is taken', () => {
  test('the first, signed by a pinned root; then every newer one that a root in force signed', () => {
    expect(acceptKeyring(message, { pinned })).toEqual(keyring);
    expect(acceptKeyring(signed({ ...second, version: 9 }, root), { pinned: [], current }).version).toBe(9);
  });

  test('the one in force again is nothing new, also with other signatures', () => {
    expect(acceptKeyring(message, { pinned, current })).toBe(keyring);
    expect(acceptKeyring({ ...message, signatures: [] }, { pinned, current })).toBe(keyring);
  });

  test('a rotation signed by both roots; and the next one by whoever missed it, while the old root signs along', () => {
    const rotated = keyringOf(newRoot, { version: 2 });
    const later = signed({ ...rotated, version: 3 }, newRoot, root);
    expect(acceptKeyring(signed(rotated, root, newRoot), { pinned, current })).toEqual(rotated);
    expect(acceptKeyring(later, { pinned, current }).version).toBe(3);
    expect(refusalOf(signed({ ...rotated, version: 3 }, newRoot), { pinned, current }).code).toBe('invalid');
  });

  test('with fields of a newer program', () => {
    expect(acceptKeyring(forged({ ...second, motto: 'x' }, root), { pinned, current })).toHaveProperty(
      'motto',
    );
  });
});

describe('a keyring is refused', () => {
  const id = publisher.publicKey.id;
  const ci = { name: 'ci', ...publisher.publicKey };
  const cases: readonly (readonly [string, typeof message, RegExp, Trust?])[] = [
    [
      'signed by nobody who is trusted',
      signed(second, stranger),
      /no good signature by a root that is trusted/,
    ],
    ['signed by a publisher', signed(second, publisher), /no good signature/],
    ['without a pinned root', message, /no root is pinned/, { pinned: [] }],
    [
      'signed by a pinned root that is in force no more',
      signed({ ...second, version: 4 }, root),
      /no good signature/,
      { pinned, current: { keyring: keyringOf(newRoot, { version: 3 }), message: signed(second, root) } },
    ],
    [
      'with a new root that has not signed',
      signed(keyringOf(newRoot, { version: 2 }), root),
      /is new and has not/,
    ],
    ['older', forged({ ...second, version: 0 }, root), /at \/version/],
    ['that is no JSON', forged('{', root), /not JSON/],
    ['nested without end', forged('['.repeat(50_000), root), /keyring/],
    ['that is a release', forged({ ...second, document: 'release' }, root), /at \/document/],
    [
      "with an id that is not its key's",
      forged({ ...second, publishers: [{ ...ci, id: 'f'.repeat(16) }] }, root),
      /not the id of its key/,
    ],
    [
      'with a root as a publisher',
      forged({ ...second, publishers: [{ name: 'ci', ...root.publicKey }] }, root),
      /one role/,
    ],
    ['with a key twice', forged({ ...second, publishers: [ci, { ...ci, name: 'cd' }] }, root), /one role/],
    [
      'with a name twice',
      forged({ ...second, publishers: [ci, { name: 'ci', ...stranger.publicKey }] }, root),
      /ci has two keys/,
    ],
    [
      'with a publisher that is revoked',
      forged({ ...second, publishers: [ci], revoked: [id] }, root),
      /in use and revoked/,
    ],
    [
      'with a root that is revoked',
      forged({ ...second, revoked: [root.publicKey.id] }, root),
      /in use and revoked/,
    ],
    ['without a root', forged({ ...second, roots: [] }, root), /at \/roots/],
    [
      'of bytes that are no base64',
      { ...message, document: `${message.document.slice(0, -4)}A===` },
      /not base64/,
    ],
    ['too large', { ...message, document: 'A'.repeat(MAX_KEYRING_BYTES * 2) }, /at most 73728/],
  ];
  test.each(
    cases.map(([what, given, reason, trust = { pinned, current }]) => ({ what, given, reason, trust })),
  )('$what', ({ given, reason, trust }) => {
    const refusal = refusalOf(given, trust);
    expect(refusal.message).toMatch(reason);
    expect(refusal.code).toBe('invalid');
  });

  test('older, or of the same version with other content: a conflict', () => {
    const third = signed({ ...second, version: 3 }, root);
    const at3: Trust = { pinned, current: { keyring: acceptKeyring(third, { pinned }), message: third } };
    expect(refusalOf(signed(second, root), at3)).toMatchObject({ code: 'conflict', message: /2 is older/ });
    expect(refusalOf(signed({ ...second, version: 3, createdTs: 5 }, root), at3)).toMatchObject({
      code: 'conflict',
      message: expect.stringMatching(/other content/),
    });
  });

  test('whatever the bytes, the JSON or the change: never taken, never anything but an AppError', () => {
    const refused = (given: typeof message): boolean =>
      refusalOf(given, { pinned, current }) instanceof AppError;
    const { signatures } = signed(second, root);
    const bytes = Buffer.from(signed(second, root).document, 'base64');
    const from = (found: Uint8Array) => ({
      v: 1 as const,
      document: Buffer.from(found).toString('base64'),
      signatures,
    });
    fc.assert(fc.property(fc.uint8Array({ maxLength: 200 }), (found) => refused(from(found))));
    fc.assert(fc.property(fc.json(), (text) => refused(from(Buffer.from(text)))));
    fc.assert(
      fc.property(fc.nat(bytes.length - 1), fc.integer({ min: 0, max: 7 }), (at, bit) =>
        refused(from(Uint8Array.from(bytes, (byte, i) => (i === at ? byte ^ (1 << bit) : byte)))),
      ),
    );
    fc.assert(
      fc.property(fc.string({ maxLength: 200 }), (document) => refused({ v: 1, document, signatures })),
    );
  });

  test('signed by the root, but of any shape: an AppError', () => {
    fc.assert(
      fc.property(fc.dictionary(fc.constantFrom(...Object.keys(second)), fc.jsonValue()), (change) => {
        try {
          acceptKeyring(forged({ ...second, ...change }, root), { pinned, current });
        } catch (error) {
          if (!(error instanceof AppError)) throw error;
        }
      }),
    );
  });
});

describe('the first keyring of a controller', () => {
  test('has to be signed by each of its own roots', () => {
    const two = keyringOf(root, { roots: [root.publicKey, newRoot.publicKey] });
    expect(trustFirstKeyring(signed(two, root, newRoot))).toEqual(two);
    expect(() => trustFirstKeyring(signed(two, root))).toThrow(/is new and has not signed/);
  });
});

test('the largest keyring fits the message of the protocol', () => {
  const keys = Array.from({ length: MAX_PUBLISHERS }, (_, n) => ({
    name: `${n}`.padStart(63, 'p'),
    ...createKeyPair().publicKey,
  }));
  const roots = Array.from({ length: MAX_ROOTS }, createKeyPair);
  const largest = keyringOf(root, {
    version: Number.MAX_SAFE_INTEGER,
    roots: roots.map(({ publicKey }) => publicKey),
    publishers: keys,
    revoked: Array.from({ length: MAX_REVOKED }, (_, n) => sha256Of(String(n)).slice(0, 16)),
  });
  const sent = signed(largest, ...roots, ...roots, ...roots);
  expect(parserOf(KeyringMessageSchema)(sent, 'keyring').signatures).toHaveLength(16);
  expect(JSON.stringify(sent).length).toBeLessThan(128 * 1024);
});

describe('signatures and keys', () => {
  test('a signature is good for its bytes and its key only', () => {
    const bytes = Buffer.from('exact');
    const signature = signBytes(root.privatePem, bytes);
    expect(isSignedBy(bytes, signature, root.publicKey)).toBe(true);
    expect(isSignedBy(Buffer.from('exact '), signature, root.publicKey)).toBe(false);
    expect(isSignedBy(bytes, signature, stranger.publicKey)).toBe(false);
    // An id alone makes no key another.
    expect(isSignedBy(bytes, signature, { ...stranger.publicKey, id: root.publicKey.id })).toBe(false);
  });

  test('any 32 bytes as a key, and any 64 as a signature, are a plain no', () => {
    fc.assert(
      fc.property(
        fc.uint8Array({ minLength: 32, maxLength: 32 }),
        fc.uint8Array({ minLength: 64, maxLength: 64 }),
        (key, value) => {
          const publicKey = publicKeyOf(Buffer.from(key).toString('base64'));
          if (publicKey === undefined) return false;
          const signature = { keyId: publicKey.id, value: Buffer.from(value).toString('base64') };
          return !isSignedBy(Buffer.from('x'), signature, publicKey);
        },
      ),
    );
  });

  test('the signature of RFC 8032, section 7.1, test 2', () => {
    const pkcs8 = '302e020100300506032b657004220420';
    const seed = '4ccd089b28ff96da9db6c346ec114e0f5b8a319f35aba624da8cf6ed4fb8a6fb';
    const base64 = Buffer.from(pkcs8 + seed, 'hex').toString('base64');
    const pem = `-----BEGIN PRIVATE KEY-----\n${base64}\n-----END PRIVATE KEY-----\n`;
    const { key } = publicHalfOf(pem);
    expect(Buffer.from(key, 'base64').toString('hex')).toBe(
      '3d4017c3e843895a92b70aa74d1b7ebc9c982ccf2ec4968cc0cd55f12af4660c',
    );
    expect(Buffer.from(signBytes(pem, Uint8Array.of(0x72)).value, 'base64').toString('hex')).toBe(
      '92a009a9f0d4cab8720e820b5f642540a2b27b5416503f8fb3762223ebdb69da085ac1e43e15996e458f3613d0f11d8c387b2eaeb4302aeeb00d291612bb0c00',
    );
  });

  test('what is no private key is told without repeating it', () => {
    expect(() => publicHalfOf('secret words')).toThrow(/^not a private key in PEM without a passphrase$/);
  });
});

describe('files of roots', () => {
  test('read back what was written, with comments and spaces', () => {
    const roots = [root.publicKey, newRoot.publicKey];
    expect(parseRootFile(formatRootFile(roots), 'root.pub')).toEqual(roots);
    expect(parseRootFile(`\r\n  ofa-root   ${root.publicKey.key}  # of the lab\r\n`, 'root.pub')).toEqual(
      pinned,
    );
  });

  test.each([
    ['', /root\.pub: no line/],
    ['# only words\n', /no line/],
    [
      `\nofa-root ${root.publicKey.key.slice(1)}`,
      /root\.pub: line 2: expected 'ofa-root <32 bytes in base64>'/,
    ],
    [`ssh-ed25519 ${root.publicKey.key}`, /line 1/],
    [`ofa-root ${root.publicKey.key} more`, /line 1/],
    [formatRootFile(Array.from({ length: 9 }, () => createKeyPair().publicKey)), /9 roots, at most 8/],
  ])('%j is refused', (text, reason) => {
    expect(() => parseRootFile(text, 'root.pub')).toThrow(reason);
  });
});
