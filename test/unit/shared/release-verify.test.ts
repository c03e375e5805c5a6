import fc from 'fast-check';
import { describe, expect, test } from 'vitest';
import { AppError } from '../../../shared/errors.ts';
import type { ReleaseRef } from '../../../shared/protocol/release.ts';
import type { ReleaseManifest } from '../../../shared/release/manifest.ts';
import { createKeyPair, signBytes } from '../../../shared/release/signature.ts';
import {
  isVersionAtLeast,
  openRelease,
  type ReleaseContext,
  verifyRelease,
} from '../../../shared/release/verify.ts';
import { START_TS } from '../../support/agent.ts';
import { manifestOf, sha256Of, signedRelease, signingWorld } from '../../support/signing.ts';

const world = signingWorld();
const { keyring, publisher } = world;
const stranger = createKeyPair();

/** A board that all of these are about. */
const NANO: ReleaseContext = {
  ...{ keyring, kind: 'family', now: START_TS + 1_000, agentVersion: '0.3.1' },
  ...{ arch: 'arm64', boardModel: 'NVIDIA Jetson Orin Nano Developer Kit', memoryBytes: 8 * 2 ** 30 },
};

interface Case {
  readonly manifest?: object;
  readonly signer?: typeof stranger;
  readonly ref?: (good: ReleaseRef) => ReleaseRef;
  readonly bytes?: (good: Uint8Array) => Uint8Array;
  readonly context?: Partial<ReleaseContext>;
}

function verify({ manifest = manifestOf(), signer = publisher, ref, bytes, context }: Case): ReleaseManifest {
  const good = signedRelease(manifest, signer);
  return verifyRelease(bytes?.(good.bytes) ?? good.bytes, ref?.(good.ref) ?? good.ref, {
    ...NANO,
    ...context,
  });
}

function refusalOf(one: Case): AppError {
  try {
    verify(one);
  } catch (error) {
    if (error instanceof AppError) return error;
    throw error;
  }
  throw new Error('it was accepted');
}

const [family, model] = manifestOf().blobs;

/** The same release with one of its models said to be something else. */
function withModel(change: object): object {
  return { ...manifestOf(), blobs: [family, { ...model, ...change }] };
}

const other = sha256Of('other');
const REFUSALS: readonly (readonly [what: string, reason: RegExp, one: Case, code?: 'conflict'])[] = [
  ['a byte too many', /of \d+ bytes, expected \d+/, { bytes: (b) => Buffer.concat([b, Buffer.from(' ')]) }],
  ['a byte too few', /of \d+ bytes, expected \d+/, { bytes: (b) => b.subarray(1) }],
  ['more than the cap', /5000000 bytes, at most 4194304/, { bytes: () => new Uint8Array(5_000_000) }],
  [
    'other bytes of that length',
    /with the SHA-256 [0-9a-f]{64}, expected/,
    { bytes: (b) => Uint8Array.from(b, (byte, i) => (i === 9 ? byte ^ 1 : byte)) },
  ],
  ['no keyring', /no keyring to check the signature/, { context: { keyring: undefined } }],
  [
    'a revoked key',
    new RegExp(`key ${publisher.publicKey.id}, which signed it, is revoked`),
    { context: { keyring: { ...keyring, publishers: [], revoked: [publisher.publicKey.id] } } },
  ],
  [
    'a revoked key that is a publisher still',
    /is revoked/,
    { context: { keyring: { ...keyring, revoked: [publisher.publicKey.id] } } },
  ],
  ['an unknown key', /is no publisher of keyring 1/, { signer: stranger }],
  ['the root, which signs no releases', /is no publisher/, { signer: world.root }],
  [
    'a signature that says to be of another key',
    /the signature of key [0-9a-f]{16} \(ci\) is wrong/,
    {
      signer: stranger,
      ref: (ref) => ({ ...ref, signature: { ...ref.signature, keyId: publisher.publicKey.id } }),
    },
  ],
  [
    'a signature over other bytes',
    /is wrong/,
    { ref: (ref) => ({ ...ref, signature: signBytes(publisher.privatePem, new Uint8Array(9)) }) },
  ],
  ['no JSON schema', /must have required properties/, { manifest: { format: 1 } }],
  ['a keyring instead of a release', /must/, { manifest: keyring }],
  ['another name', /the manifest is that of family trucks 3/, { manifest: manifestOf({ name: 'trucks' }) }],
  ['another version', /the manifest is that of family cars 4/, { manifest: manifestOf({ version: 4 }) }],
  ['another kind', /the manifest is that of family cars 3/, { context: { kind: 'program' } }],
  ['a path as its name', /at \/name/, { manifest: { ...manifestOf(), name: '../cars' } }],
  ['a path as a blob', /at \/blobs\/1\/sha256/, { manifest: withModel({ sha256: '../../etc/passwd' }) }],
  [
    'a replayed older version',
    /older than version 4/,
    { context: { floor: { version: 4, sha256: other } } },
    'conflict',
  ],
  [
    'the version of the floor with other content',
    /version 3 was committed before with other content/,
    { context: { floor: { version: 3, sha256: other } } },
    'conflict',
  ],
  ['an expired one', /expired at 2023/, { manifest: manifestOf({ expiresTs: START_TS + 1_000 }) }],
  [
    'a newer agent',
    /needs agent 0\.4\.0 or newer, this is 0\.3\.1/,
    { manifest: manifestOf({ minAgent: '0.4.0' }) },
  ],
  [
    'another architecture',
    /for the architecture x64, this is arm64/,
    { manifest: manifestOf({ hardware: { arch: ['x64'] } }) },
  ],
  [
    'another board',
    /for the board Xavier or AGX, this is NVIDIA/,
    { manifest: manifestOf({ hardware: { models: ['Xavier', 'AGX'] } }) },
  ],
  [
    'too little memory',
    /needs 16000000000 bytes of memory, this has 8589934592/,
    { manifest: manifestOf({ hardware: { minMemoryBytes: 16e9 } }) },
  ],
  ['a terabyte in one blob', /at \/blobs\/1\/bytes/, { manifest: withModel({ bytes: 2 ** 40 }) }],
  [
    'a lie about the number of chunks',
    /4 chunks for 65536 bytes/,
    { manifest: withModel({ bytes: 65_536 }) },
  ],
  ['a blob twice', /named twice/, { manifest: { ...manifestOf(), blobs: [family, model, model] } }],
];

describe('a release is refused', () => {
  test.each(REFUSALS.map(([what, reason, one, code = 'invalid']) => ({ what, reason, one, code })))(
    '$what',
    ({ reason, one, code }) => {
      const refusal = refusalOf(one);
      expect(refusal.message).toMatch(/^(family|program) cars 3(:| at )/);
      expect(refusal.message).toMatch(reason);
      expect(refusal.code).toBe(code);
    },
  );

  test('a terabyte in many blobs', () => {
    const large = 2 ** 31;
    const chunks = Array.from({ length: large / 65_536 }, () => other);
    const blobs = Array.from({ length: 9 }, (_, n) => ({
      ...{ role: 'model', sha256: sha256Of(String(n)), bytes: large, chunks },
    }));
    // Larger than a manifest may be, for as long as chunks are named: the cap comes first.
    expect(refusalOf({ manifest: { ...manifestOf(), blobs } }).message).toMatch(/at most 4194304/);
  });
});

describe('a release is taken', () => {
  const GOOD: readonly (readonly [string, Case])[] = [
    ['by a device that it fits', {}],
    ['again, with the same content', { ref: (ref) => ref }],
    [
      'that names its hardware in any case',
      {
        manifest: manifestOf({
          hardware: { arch: ['x64', 'arm64'], models: ['orin NANO'], minMemoryBytes: 4e9 },
          minAgent: '0.3.1',
        }),
      },
    ],
    [
      'by a controller, which is no device',
      {
        manifest: manifestOf({ hardware: { arch: ['x64'], models: ['AGX'] }, minAgent: '9.0.0' }),
        context: { agentVersion: undefined, arch: undefined, boardModel: undefined },
      },
    ],
    ['with fields of a newer program', { manifest: { ...manifestOf(), notes: 'x' } }],
  ];
  test.each(GOOD)('%s', (_what, one) => {
    expect(verify(one)).toMatchObject({ kind: 'family', name: 'cars', version: 3 });
  });

  test('again at the floor', () => {
    const { bytes, ref } = signedRelease(manifestOf(), publisher);
    const floor = { version: 3, sha256: ref.manifest.sha256 };
    expect(verifyRelease(bytes, ref, { ...NANO, floor })).toEqual(manifestOf());
  });
});

describe('what is not exactly as it was signed', () => {
  const { bytes, ref } = signedRelease(manifestOf(), publisher);
  const what = 'release';

  function isRefused(found: Uint8Array, signature = ref.signature): boolean {
    try {
      openRelease(found, signature, { keyring, what });
      return false;
    } catch (error) {
      return error instanceof AppError;
    }
  }

  test('is never taken and never throws anything else, whatever the bytes', () => {
    fc.assert(fc.property(fc.uint8Array({ maxLength: 300 }), (found) => isRefused(found)));
    fc.assert(
      fc.property(fc.json(), (text) => isRefused(new TextEncoder().encode(text))),
      { numRuns: 50 },
    );
  });

  test('is never taken with a bit changed, cut off or padded', () => {
    const place = fc.integer({ min: 0, max: bytes.length - 1 });
    fc.assert(
      fc.property(place, fc.integer({ min: 0, max: 7 }), (at, bit) =>
        isRefused(Uint8Array.from(bytes, (byte, i) => (i === at ? byte ^ (1 << bit) : byte))),
      ),
    );
    fc.assert(fc.property(place, (at) => isRefused(bytes.subarray(0, at))));
    fc.assert(
      fc.property(fc.uint8Array({ minLength: 1, maxLength: 9 }), (more) =>
        isRefused(Buffer.concat([bytes, more])),
      ),
    );
  });

  test('is never taken with another signature', () => {
    fc.assert(
      fc.property(fc.uint8Array({ minLength: 64, maxLength: 64 }), (value) =>
        isRefused(bytes, { ...ref.signature, value: Buffer.from(value).toString('base64') }),
      ),
    );
  });
});

test('what a publisher signs is parsed, and fails as an AppError whatever it is', () => {
  fc.assert(
    fc.property(fc.dictionary(fc.constantFrom(...Object.keys(manifestOf())), fc.jsonValue()), (change) => {
      try {
        verify({ manifest: { ...manifestOf(), ...change } });
      } catch (error) {
        if (!(error instanceof AppError)) throw error;
      }
    }),
  );
});

describe('versions of the agent', () => {
  test.each([
    ['0.2.0', '0.2.0', true],
    ['0.10.0', '0.9.9', true],
    ['1.0.0', '0.9.9', true],
    ['0.2.0', '0.2.1', false],
    ['0.2.0-rc.1', '0.2.0', false],
    ['0.2.1-rc.1', '0.2.0', true],
    ['0.2.0+build-7', '0.2.0', true],
    ['newest', '0.0.0', false],
  ])('%s is at least %s: %s', (version, least, expected) => {
    expect(isVersionAtLeast(version, least)).toBe(expected);
  });
});
