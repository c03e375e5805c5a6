import { AppError } from '../../shared/errors.ts';
import type { ReleaseKind, ReleaseRef, Signature } from '../../shared/protocol/release.ts';
import type { ReleaseManifest } from '../../shared/release/manifest.ts';

/** A release that is here to be rolled out. */
export interface StoredRelease {
  readonly kind: ReleaseKind;
  readonly ref: ReleaseRef;
  readonly manifest: ReleaseManifest;
  readonly publishedTs: number;
  /** Blobs that it names and that are gone; publishing it again, with them, mends it. */
  readonly damaged?: readonly string[];
  /** Why no device takes it any more: its publisher's key does not count now. */
  readonly untrusted?: string;
}

/** The signed releases, and the blobs that they are made of. */
export interface Releases extends AsyncDisposable {
  /** By kind and name, oldest version first. */
  list(): readonly StoredRelease[];
  /** The newest without `version`. */
  find(kind: ReleaseKind, name: string, version?: number): StoredRelease | undefined;
  /** @throws AppError `not-found` */
  require(kind: ReleaseKind, name: string, version?: number): StoredRelease;
  /**
   * Takes a release in. The same bytes again are no error; they may bring another good signature.
   * @throws MissingBlobs when blobs have to be put first; AppError `conflict` when the version was given before,
   * `invalid` for everything else that is wrong with it
   */
  publish(manifestBytes: Uint8Array, signature: Signature): Promise<StoredRelease>;
  /**
   * Removes a release and its blobs, except those that others need. Its version is not given again.
   * @throws AppError `not-found`, or `conflict` while it is needed
   */
  remove(kind: ReleaseKind, name: string, version: number): Promise<void>;
  /** Takes a blob in; see `BlobFolder`. */
  putBlob(sha256: string, body: AsyncIterable<Uint8Array>, bytes: number): Promise<'stored' | 'known'>;
  hasBlob(sha256: string): boolean;
  /** Where a blob lies; whether it is there, `hasBlob` says. */
  blobPath(sha256: string): string;
  /** Chunk `n` of a blob or of a release's manifest; undefined when there is none. */
  readChunk(sha256: string, n: number): Promise<Uint8Array | undefined>;
}

/** A release cannot be published yet: blobs of it are not there, and have to be put first. */
export class MissingBlobs extends AppError {
  readonly blobs: readonly string[];

  constructor(what: string, blobs: readonly string[]) {
    super('conflict', `${what}: ${blobs.length} of its blobs are not there yet, the first is ${blobs[0]}`);
    this.name = 'MissingBlobs';
    this.blobs = blobs;
  }
}
