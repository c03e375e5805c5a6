import { AppError, type ErrorCode } from '../errors.ts';
import { sha256 } from '../files.ts';
import { MAX_RELEASE_BYTES, type ReleaseKind, type ReleaseRef, type Signature } from '../protocol/release.ts';
import { type Keyring, parseDocument } from './keyring.ts';
import { type ReleaseManifest, releaseParser } from './manifest.ts';
import { isSignedBy } from './signature.ts';

/** What a release is judged by; facts of a device that are not there are not asked for. */
export interface ReleaseContext extends DeviceFacts {
  readonly keyring?: Keyring | undefined;
  readonly kind: ReleaseKind;
  /** Milliseconds since the epoch: the later of the clock and the last time that was known. */
  readonly now: number;
  /** The highest version of that kind and name that was ever committed, and the SHA-256 of its manifest. */
  readonly floor?: { readonly version: number; readonly sha256: string } | undefined;
}

/** What a machine is. */
export interface DeviceFacts {
  /** As `package.json` says. */
  readonly agentVersion?: string | undefined;
  /** As `process.arch` says. */
  readonly arch?: string | undefined;
  readonly boardModel?: string | undefined;
  readonly memoryBytes?: number | undefined;
}

const parseRelease = releaseParser();

/**
 * Judges a release: the bytes of its manifest, by what was said of them (`ref`) and what is known here. Each step
 * only trusts what the steps before it have shown:
 *  1. size: not above the cap, and what `ref` says
 *  2. the SHA-256 is what `ref` says
 *  3. there is a keyring
 *  4. the key is not revoked
 *  5. the key is a publisher's
 *  6. its signature is good for exactly these bytes
 *  7. only now JSON, schema, sizes, counts of chunks, blobs that fit the kind
 *  8. kind, name and version are those that were asked for: a good release under another's name is refused
 *  9. the version is not below the floor, nor equal with other content
 * 10. it has not expired
 * 11. the agent is new enough
 * 12. the hardware fits: architecture, board, memory
 *
 * A manifest names every blob by its content, so nothing can be mixed of two releases. Not covered: somebody who
 * may give orders can have any release installed that is signed, not expired and not below the floor; a device that
 * was wiped has no floor; a publisher's key that is stolen can use up a name with the highest version.
 *
 * @throws AppError `conflict` in step 9, otherwise `invalid`; the message begins with the release's name
 */
export function verifyRelease(bytes: Uint8Array, ref: ReleaseRef, context: ReleaseContext): ReleaseManifest {
  const what = `${context.kind} ${ref.name} ${ref.version}`;
  checkContent(bytes, ref, what);
  const manifest = openRelease(bytes, ref.signature, { keyring: context.keyring, what });
  for (const [code, problemOf] of CHECKS) {
    const problem = problemOf(manifest, ref, context);
    if (problem !== undefined) throw new AppError(code, `${what}: ${problem}`);
  }
  return manifest;
}

/**
 * Steps 3 to 7 of `verifyRelease`, for who has a manifest and a signature but no order: is it a release of somebody
 * who may publish?
 * @throws AppError `invalid`
 */
export function openRelease(
  bytes: Uint8Array,
  signature: Signature,
  { keyring, what }: { readonly keyring: Keyring | undefined; readonly what: string },
): ReleaseManifest {
  if (bytes.length > MAX_RELEASE_BYTES) throw tooLarge(bytes.length, what);
  const problem = signatureProblem(bytes, signature, keyring);
  if (problem !== undefined) throw new AppError('invalid', `${what}: ${problem}`);
  return parseDocument(bytes, parseRelease, what);
}

function tooLarge(bytes: number, what: string): AppError {
  return new AppError(
    'invalid',
    `${what}: a manifest of ${bytes} bytes, at most ${MAX_RELEASE_BYTES} are taken`,
  );
}

function checkContent(bytes: Uint8Array, { manifest }: ReleaseRef, what: string): void {
  if (bytes.length > MAX_RELEASE_BYTES) throw tooLarge(bytes.length, what);
  if (bytes.length !== manifest.bytes) {
    const found = `a manifest of ${bytes.length} bytes, expected ${manifest.bytes}`;
    throw new AppError('invalid', `${what}: ${found}`);
  }
  const found = sha256(bytes);
  if (found === manifest.sha256) return;
  throw new AppError('invalid', `${what}: a manifest with the SHA-256 ${found}, expected ${manifest.sha256}`);
}

function signatureProblem(
  bytes: Uint8Array,
  signature: Signature,
  keyring: Keyring | undefined,
): string | undefined {
  const { keyId } = signature;
  const publisher = keyring?.publishers.find(({ id }) => id === keyId);
  if (keyring === undefined || publisher === undefined || keyring.revoked.includes(keyId))
    return keyProblem(keyId, keyring);
  if (isSignedBy(bytes, signature, publisher)) return undefined;
  return `the signature of key ${keyId} (${publisher.name}) is wrong`;
}

/** Why a key does not count, whatever it signed; undefined where it is that of a publisher. */
export function keyProblem(keyId: string, keyring: Keyring | undefined): string | undefined {
  if (keyring === undefined) return `there is no keyring to check the signature of key ${keyId} with`;
  if (keyring.revoked.includes(keyId)) return `key ${keyId}, which signed it, is revoked`;
  if (keyring.publishers.some(({ id }) => id === keyId)) return undefined;
  return `key ${keyId}, which signed it, is no publisher of keyring ${keyring.version}`;
}

type Check = (manifest: ReleaseManifest, ref: ReleaseRef, context: ReleaseContext) => string | undefined;

/** Steps 8 to 12, in order. */
const CHECKS: readonly (readonly [ErrorCode, Check])[] = [
  ['invalid', identityProblem],
  ['conflict', floorProblem],
  ['invalid', expiryProblem],
  ['invalid', agentProblem],
  ['invalid', archProblem],
  ['invalid', boardProblem],
  ['invalid', memoryProblem],
];

function identityProblem(
  { kind, name, version }: ReleaseManifest,
  ref: ReleaseRef,
  context: ReleaseContext,
): string | undefined {
  if (kind === context.kind && name === ref.name && version === ref.version) return undefined;
  return `the manifest is that of ${kind} ${name} ${version}`;
}

function floorProblem(
  { version }: ReleaseManifest,
  { manifest }: ReleaseRef,
  { floor }: ReleaseContext,
): string | undefined {
  if (floor === undefined || version > floor.version) return undefined;
  if (version < floor.version) return `older than version ${floor.version}, which was committed before`;
  if (manifest.sha256 === floor.sha256) return undefined;
  return `version ${version} was committed before with other content`;
}

function expiryProblem(
  { expiresTs }: ReleaseManifest,
  _ref: ReleaseRef,
  { now }: ReleaseContext,
): string | undefined {
  return now < expiresTs ? undefined : `expired at ${new Date(expiresTs).toISOString()}`;
}

function agentProblem(
  { minAgent }: ReleaseManifest,
  _ref: ReleaseRef,
  { agentVersion }: ReleaseContext,
): string | undefined {
  if (minAgent === undefined || agentVersion === undefined) return undefined;
  if (isVersionAtLeast(agentVersion, minAgent)) return undefined;
  return `needs agent ${minAgent} or newer, this is ${agentVersion}`;
}

function archProblem(
  { hardware }: ReleaseManifest,
  _ref: ReleaseRef,
  { arch }: ReleaseContext,
): string | undefined {
  if (hardware?.arch === undefined || arch === undefined || hardware.arch.includes(arch)) return undefined;
  return `for the architecture ${hardware.arch.join(' or ')}, this is ${arch}`;
}

function boardProblem(
  { hardware }: ReleaseManifest,
  _ref: ReleaseRef,
  { boardModel }: ReleaseContext,
): string | undefined {
  if (hardware?.models === undefined || boardModel === undefined) return undefined;
  const board = boardModel.toLowerCase();
  if (hardware.models.some((model) => board.includes(model.toLowerCase()))) return undefined;
  return `for the board ${hardware.models.join(' or ')}, this is ${boardModel}`;
}

function memoryProblem(
  { hardware }: ReleaseManifest,
  _ref: ReleaseRef,
  { memoryBytes }: ReleaseContext,
): string | undefined {
  if (hardware?.minMemoryBytes === undefined || memoryBytes === undefined) return undefined;
  if (memoryBytes >= hardware.minMemoryBytes) return undefined;
  return `needs ${hardware.minMemoryBytes} bytes of memory, this has ${memoryBytes}`;
}

const VERSION = /^(\d{1,6})\.(\d{1,6})\.(\d{1,6})(-[^+]*)?(\+.*)?$/;

/**
 * Whether a version has at least the precedence of `least`, as semver 2.0.0 section 11 says: one with a pre-release
 * suffix comes before the version itself.
 * @param version `x.y.z`, with or without a pre-release or build suffix; anything else is not at least anything
 * @param least `x.y.z`
 */
export function isVersionAtLeast(version: string, least: string): boolean {
  const have = VERSION.exec(version);
  const want = VERSION.exec(least);
  if (have === null || want === null) return false;
  for (const part of [1, 2, 3]) {
    const difference = Number(have[part]) - Number(want[part]);
    if (difference !== 0) return difference > 0;
  }
  return have[4] === undefined;
}
