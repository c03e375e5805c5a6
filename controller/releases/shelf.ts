import { AppError } from '../../shared/errors.ts';
import type { ReleaseKind } from '../../shared/protocol/release.ts';
import { releaseParser } from '../../shared/release/manifest.ts';
import { parseJson } from '../../shared/schema.ts';
import type { ReleaseStore } from '../store/release-store.ts';
import type { BlobFolder } from './blob-folder.ts';
import type { Releases, StoredRelease } from './releases.ts';

/** Manifests of all releases together; they are held in memory. */
const MAX_MANIFEST_BYTES = 64 * 2 ** 20;

/** The releases that are there, in memory. */
export interface Shelf extends Pick<Releases, 'list' | 'find' | 'require'> {
  /** SHA-256 of everything that a release needs, its manifest too. */
  named(): Set<string>;
  /** @throws AppError `conflict` when there are too many releases for one more with such a manifest */
  checkRoom(bytes: number): void;
  put(release: StoredRelease): StoredRelease;
  drop(kind: ReleaseKind, name: string, version: number): void;
  /** Writes manifests that are not there as blobs: a backup holds the database only. */
  restore(): Promise<void>;
}

/** Reads all releases of the store. */
export function createShelf(store: ReleaseStore, blobs: BlobFolder): Shelf {
  const releases = readAll(store);
  const list = (): StoredRelease[] =>
    [...releases.values()].toSorted(byVersion).map((release) => judged(release, blobs));
  const find: Releases['find'] = (kind, name, version) => {
    const [last] = [...releases.values()]
      .filter((each) => each.kind === kind && each.ref.name === name)
      .filter((each) => version === undefined || each.ref.version === version)
      .sort((a, b) => b.ref.version - a.ref.version);
    return last === undefined ? undefined : judged(last, blobs);
  };
  return {
    list,
    find,
    require: (kind, name, version) => {
      const found = find(kind, name, version);
      if (found !== undefined) return found;
      const what = version === undefined ? `${kind} ${name}` : `${kind} ${name} ${version}`;
      throw new AppError('not-found', `there is no release ${what}`);
    },
    named: () => new Set([...releases.values()].flatMap(namesOf)),
    checkRoom: (bytes) => {
      const taken = [...releases.values()].reduce((sum, { ref }) => sum + ref.manifest.bytes, bytes);
      if (taken <= MAX_MANIFEST_BYTES) return;
      throw new AppError('conflict', 'there are too many releases; delete some that nobody needs');
    },
    put: (release) => {
      releases.set(keyOf(release.kind, release.ref.name, release.ref.version), release);
      return release;
    },
    drop: (kind, name, version) => {
      releases.delete(keyOf(kind, name, version));
    },
    restore: () => restore(store, blobs),
  };
}

async function restore(store: ReleaseStore, blobs: BlobFolder): Promise<void> {
  for (const { sha256, manifest } of store.all()) {
    if (blobs.bytesOf(sha256) !== manifest.length) await blobs.write(sha256, manifest);
  }
}

function readAll(store: ReleaseStore): Map<string, StoredRelease> {
  const parse = releaseParser();
  return new Map(
    store.all().map(({ kind, name, version, sha256, manifest, signature, publishedTs }) => {
      const what = `stored release ${kind} ${name} ${version}`;
      const ref = { name, version, manifest: { sha256, bytes: manifest.length }, signature };
      const parsed = parseJson(new TextDecoder().decode(manifest), parse, what);
      return [keyOf(kind, name, version), { kind, ref, manifest: parsed, publishedTs }];
    }),
  );
}

function keyOf(kind: ReleaseKind, name: string, version: number): string {
  return `${kind} ${name} ${version}`;
}

function namesOf({ ref, manifest }: StoredRelease): string[] {
  return [ref.manifest.sha256, ...manifest.blobs.map(({ sha256 }) => sha256)];
}

function byVersion(a: StoredRelease, b: StoredRelease): number {
  const [left, right] = [a, b].map(({ kind, ref }) => `${kind} ${ref.name}`);
  if (left === right) return a.ref.version - b.ref.version;
  return (left ?? '') < (right ?? '') ? -1 : 1;
}

function judged(release: StoredRelease, blobs: BlobFolder): StoredRelease {
  const gone = release.manifest.blobs.filter(({ sha256, bytes }) => blobs.bytesOf(sha256) !== bytes);
  return gone.length === 0 ? release : { ...release, damaged: gone.map(({ sha256 }) => sha256) };
}
