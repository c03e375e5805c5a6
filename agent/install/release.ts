import { rm } from 'node:fs/promises';
import type { Clock } from '../../shared/clock.ts';
import { AppError, describeError } from '../../shared/errors.ts';
import { readWhole, sha256OfFile } from '../../shared/files.ts';
import { MAX_RELEASE_BYTES, type Order, type ReleaseKind } from '../../shared/protocol/release.ts';
import type { Keyring } from '../../shared/release/keyring.ts';
import type { ReleaseManifest } from '../../shared/release/manifest.ts';
import { type DeviceFacts, verifyRelease } from '../../shared/release/verify.ts';
import type { BlobRef, BlobStore } from '../blobs/blob-store.ts';
import type { InstallJournal } from '../store/install-journal.ts';
import type { Fetcher } from '../transfer/fetcher.ts';
import { type Progress, Refused } from './attempt.ts';

export interface RoomOptions {
  readonly isShort: boolean;
  readonly signal: AbortSignal;
}

/** What it takes to fetch what an order names, and to judge it. */
export interface ReleaseDeps {
  readonly journal: InstallJournal;
  readonly blobs: BlobStore;
  readonly fetcher: Pick<Fetcher, 'fetch'>;
  /** Only one fetch or collection at a time, of both kinds. */
  readonly exclusive: <T>(work: () => Promise<T>, signal?: AbortSignal) => Promise<T>;
  readonly keyring: () => Keyring | undefined;
  readonly facts: DeviceFacts;
  readonly clock: Clock;
  /** The later of the clock and the last time that is known, milliseconds since the epoch. */
  readonly now: () => number;
  /** Removes what no kept release needs; where room is short, as soon as nothing is fetched, else only if so now. */
  readonly makeRoom: (keep: Iterable<string>, options: RoomOptions) => Promise<void>;
}

/** A keyring that comes with the order may arrive a moment after it. */
const KEYRING_WAIT_MS = 5_000;
const KEYRING_POLL_MS = 100;
/** Left free beside what is installed: the database's log, telemetry, what others write. */
const MARGIN_BYTES = 32 * 2 ** 20;

/**
 * Fetches a release's signed manifest and checks it.
 * @throws Refused for every reason not to install it here; what the fetcher throws
 */
export async function openOrderedRelease(
  kind: ReleaseKind,
  order: Order,
  deps: ReleaseDeps,
  signal: AbortSignal,
): Promise<ReleaseManifest> {
  const { release } = order;
  const { keyring, journal, clock, blobs } = deps;
  // Before anything is fetched: nobody's word is needed to see that it would be in vain.
  await knownKey(order, deps, signal);
  await fetchSound([release.manifest], order, deps, signal);
  const bytes = await readWhole(blobs.pathOf(release.manifest.sha256), MAX_RELEASE_BYTES);
  const floor = journal.floor(kind, release.name);
  const now = Math.max(clock.now(), deps.now());
  try {
    return verifyRelease(bytes, release, { ...deps.facts, keyring: keyring(), kind, now, floor });
  } catch (cause) {
    if (!(cause instanceof AppError)) throw cause;
    throw refusedBy(cause, order, keyring());
  }
}

/** Another keyring may let in what this one does not, where it does not know the key. */
function refusedBy(cause: AppError, { release }: Order, keyring: Keyring | undefined): Refused {
  const reason = describeError(cause);
  if (isKnown(release.signature.keyId, keyring)) return new Refused(reason, { cause });
  return new Refused(reason, { cause, retry: { when: 'keyring', version: keyring?.version ?? 0 } });
}

function isKnown(keyId: string, keyring: Keyring | undefined): boolean {
  if (keyring === undefined) return false;
  return keyring.revoked.includes(keyId) || keyring.publishers.some(({ id }) => id === keyId);
}

/** Whether the key that signed the release counts no more. */
export function isRevoked({ release }: Order, keyring: Keyring | undefined): boolean {
  return keyring?.revoked.includes(release.signature.keyId) === true;
}

async function knownKey({ release }: Order, deps: ReleaseDeps, signal: AbortSignal): Promise<void> {
  const untilMs = deps.clock.monoMs() + KEYRING_WAIT_MS;
  while (!isKnown(release.signature.keyId, deps.keyring()) && deps.clock.monoMs() < untilMs) {
    await deps.clock.sleep(KEYRING_POLL_MS, signal);
  }
}

/**
 * Fetches what is not there yet of these blobs.
 * @throws what the fetcher throws
 */
export async function fetchBlobs(
  refs: readonly BlobRef[],
  { stepTimeoutMs }: Order,
  { blobs, fetcher, exclusive }: ReleaseDeps,
  signal: AbortSignal,
  onProgress: (progress: Progress) => void = () => undefined,
): Promise<void> {
  const missing: BlobRef[] = [];
  for (const ref of refs) if (!(await blobs.has(ref))) missing.push(ref);
  if (missing.length === 0) return;
  const options = { signal, noProgressMs: stepTimeoutMs, onProgress };
  await exclusive(() => fetcher.fetch(missing, options), signal);
}

/**
 * The same for blobs that nothing checks afterwards: what lies there already is hashed, and fetched anew where it has
 * gone bad.
 * @throws what the fetcher throws
 */
export async function fetchSound(
  refs: readonly BlobRef[],
  order: Order,
  deps: ReleaseDeps,
  signal: AbortSignal,
  onProgress?: (progress: Progress) => void,
): Promise<void> {
  await fetchBlobs(refs, order, deps, signal, onProgress);
  if ((await dropRotten(refs, deps.blobs)) > 0) await fetchBlobs(refs, order, deps, signal, onProgress);
}

/**
 * Removes blobs whose content is not what their name says any more: a disk forgets.
 * @returns how many there were
 */
export async function dropRotten(refs: readonly BlobRef[], store: BlobStore): Promise<number> {
  let dropped = 0;
  for (const ref of refs) {
    const path = store.pathOf(ref.sha256);
    if (!(await store.has(ref)) || (await contentOf(path)) === ref.sha256) continue;
    await rm(path, { force: true });
    dropped += 1;
  }
  return dropped;
}

/** SHA-256 of a file; undefined where the disk does not give it any more. */
export async function contentOf(path: string): Promise<string | undefined> {
  return await sha256OfFile(path).catch(() => undefined);
}

/**
 * Checks that the disk has room for blobs and for what is made of them, after what nothing needs any more has been
 * removed: orders that failed leave theirs, to be gone on with.
 * @throws Refused when it has not
 */
export async function checkSpace(
  refs: readonly BlobRef[],
  besidesBytes: number,
  { blobs, makeRoom }: ReleaseDeps,
  signal: AbortSignal,
): Promise<void> {
  const needBytes = (await blobs.missingBytes(refs)) + besidesBytes;
  if (needBytes === 0) return;
  const isShort = (await blobs.freeBytes()) < needBytes + MARGIN_BYTES;
  await makeRoom(
    refs.map(({ sha256 }) => sha256),
    { isShort, signal },
  );
  const freeBytes = await blobs.freeBytes();
  if (freeBytes >= needBytes + MARGIN_BYTES) return;
  const retry = { when: 'space', freeBytes, needBytes: needBytes + MARGIN_BYTES } as const;
  throw new Refused(
    `no space: it takes ${mebibytes(needBytes)} and leaves ${mebibytes(MARGIN_BYTES)} free, ${mebibytes(freeBytes)} are free; free some in the state folder's file system`,
    { retry },
  );
}

function mebibytes(bytes: number): string {
  return `${(bytes / 2 ** 20).toFixed(1)} MiB`;
}
