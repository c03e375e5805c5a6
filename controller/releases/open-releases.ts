import type { Clock } from '../../shared/clock.ts';
import { AppError } from '../../shared/errors.ts';
import { sha256 } from '../../shared/files.ts';
import type { ReleaseKind, ReleaseRef, Signature } from '../../shared/protocol/release.ts';
import type { Keyring } from '../../shared/release/keyring.ts';
import { keyProblem, openRelease, verifyRelease } from '../../shared/release/verify.ts';
import type { GivenVersion, ReleaseStore } from '../store/release-store.ts';
import { type BlobFolder, type BlobFolderDeps, openBlobFolder } from './blob-folder.ts';
import { checkBlobs } from './check-blobs.ts';
import type { Releases, StoredRelease } from './releases.ts';
import { createShelf, type Shelf } from './shelf.ts';

export interface ReleasesDeps extends BlobFolderDeps {
  readonly store: ReleaseStore;
  readonly clock: Pick<Clock, 'now'>;
  readonly keyring: () => Keyring | undefined;
  /** Whether something still asks devices for it: a rollout. */
  readonly isNeeded: (kind: ReleaseKind, ref: ReleaseRef) => boolean;
}

/**
 * Opens the releases of a state folder: removes what dead uploads left and what no release names, and writes
 * manifests anew that are not there as blobs.
 */
export async function openReleases(deps: ReleasesDeps): Promise<Releases> {
  const blobs = await openBlobFolder(deps);
  const shelf = createShelf(deps.store, blobs);
  await shelf.restore();
  await blobs.collect(shelf.named());
  const inTurn = oneAfterTheOther();
  const trusted = (release: StoredRelease): StoredRelease => {
    const untrusted = keyProblem(release.ref.signature.keyId, deps.keyring());
    return untrusted === undefined ? release : { ...release, untrusted };
  };
  return {
    list: () => shelf.list().map(trusted),
    find: (...which) => {
      const found = shelf.find(...which);
      return found && trusted(found);
    },
    require: (...which) => trusted(shelf.require(...which)),
    publish: (bytes, signature) => inTurn(() => publish(bytes, signature, { ...deps, blobs, shelf })),
    remove: (kind, name, version) =>
      inTurn(() => remove(shelf.require(kind, name, version), { ...deps, blobs, shelf })),
    putBlob: blobs.put,
    hasBlob: (hash) => blobs.bytesOf(hash) !== undefined,
    blobPath: blobs.pathOf,
    readChunk: blobs.readChunk,
    [Symbol.asyncDispose]: () => blobs[Symbol.asyncDispose](),
  };
}

interface Context extends ReleasesDeps {
  readonly blobs: BlobFolder;
  readonly shelf: Shelf;
}

async function publish(
  bytes: Uint8Array,
  signature: Signature,
  { store, clock, keyring, blobs, shelf }: Context,
): Promise<StoredRelease> {
  // Whose it is comes first: only of what a publisher signed is read which release it says that it is.
  const { kind, name, version } = openRelease(bytes, signature, { keyring: keyring(), what: 'release' });
  const ref = { name, version, manifest: { sha256: sha256(bytes), bytes: bytes.length }, signature };
  const known = shelf.find(kind, name, version);
  const now = clock.now();
  const manifest = verifyRelease(bytes, ref, { kind, now, keyring: keyring() });
  if (known?.ref.manifest.sha256 !== ref.manifest.sha256) {
    checkIsNext(kind, ref, store.highest(kind, name));
    shelf.checkRoom(bytes.length);
  }
  await checkBlobs(manifest, blobs);
  await blobs.write(ref.manifest.sha256, bytes);
  const publishedTs = known?.publishedTs ?? now;
  store.save({ kind, name, version, sha256: ref.manifest.sha256, manifest: bytes, signature, publishedTs });
  return shelf.put({ kind, ref, manifest, publishedTs });
}

function checkIsNext(
  kind: ReleaseKind,
  { name, version, manifest }: ReleaseRef,
  last: GivenVersion | undefined,
): void {
  // Only what was deleted can be given again, and only as it was.
  if (last === undefined || version > last.version || manifest.sha256 === last.sha256) return;
  throw new AppError(
    'conflict',
    `${kind} ${name} ${version}: version ${last.version} was published before; the next one has to be above it`,
  );
}

async function remove(
  { kind, ref, manifest }: StoredRelease,
  { store, blobs, shelf, isNeeded }: Context,
): Promise<void> {
  const { name, version } = ref;
  if (isNeeded(kind, ref)) {
    throw new AppError(
      'conflict',
      `${kind} ${name} ${version}: a rollout needs it; abort or undo that first`,
    );
  }
  // Blobs without a release are collected later; a release without its blobs would stay damaged.
  store.remove(kind, name, version);
  shelf.drop(kind, name, version);
  const named = shelf.named();
  const own = [ref.manifest.sha256, ...manifest.blobs.map((blob) => blob.sha256)];
  await blobs.remove(own.filter((hash) => !named.has(hash)));
  await blobs.collect(named);
}

/** Runs pieces of work that must not overlap, in the order in which they come. */
function oneAfterTheOther(): <T>(work: () => Promise<T>) => Promise<T> {
  let last: Promise<unknown> = Promise.resolve();
  return (work) => {
    const done = last.then(work);
    last = done.catch(() => undefined);
    return done;
  };
}
