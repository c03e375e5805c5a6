import { isDeepStrictEqual } from 'node:util';
import { AppError } from '../../shared/errors.ts';
import {
  encodeRelease,
  type HashedFile,
  type ReleaseFacts,
  type ReleaseFile,
} from '../../shared/release/build.ts';
import { hashBlob } from '../../shared/release/hash-blob.ts';
import type { ReleaseManifest } from '../../shared/release/manifest.ts';
import { signBytes } from '../../shared/release/signature.ts';
import type { ReleaseSummary } from '../api/release-schemas.ts';
import type { Cli } from './context.ts';
import { type LocalKey, loadPublisherKey } from './key-folder.ts';
import { connectReleases, type ReleaseApi } from './release-api.ts';
import { formatBytes } from './status.ts';

/** Blobs may be deleted with another release while they are being published: then they are sent again. */
const MAX_TRIES = 3;
/** How often is told how far a large blob is. */
const PROGRESS_MS = 10_000;

/** What is to be published. */
export interface Publication {
  readonly files: readonly ReleaseFile[];
  /** Name of the key that signs; undefined: the only one there is. */
  readonly key: string | undefined;
  readonly facts: ReleaseFacts;
  readonly manifestOf: (files: readonly HashedFile[], facts: ReleaseFacts) => ReleaseManifest;
}

type World = Pick<Cli, 'env' | 'clock' | 'note'>;

/**
 * Hashes, signs and publishes a release: the private key does not leave this machine, and only blobs that the
 * controller has not are sent. What is there already in the same form is left as it is.
 * @throws AppError `conflict` when the version is not above those that are there
 */
export async function publishRelease(
  world: World,
  { files, key: keyName, facts, manifestOf }: Publication,
): Promise<ReleaseSummary> {
  const key = await loadPublisherKey(world.env, keyName);
  const api = await connectReleases(world);
  const hashed = await hashAll(files);
  const manifest = manifestOf(hashed, facts);
  const known = await findSame(api, manifest, key);
  if (known !== undefined) {
    world.note(`${nameOf(manifest)} is published already, with the same content`);
    return known;
  }
  const release = await send(world, api, { manifest, key, files: hashed });
  world.note(`published ${nameOf(manifest)}, signed by ${key.name} (key ${key.publicKey.id})`);
  return release;
}

function nameOf({ kind, name, version }: ReleaseManifest): string {
  return `${kind} ${name} ${version}`;
}

async function hashAll(files: readonly ReleaseFile[]): Promise<HashedFile[]> {
  const hashed: HashedFile[] = [];
  // One after the other: the disk is what takes the time.
  for (const file of files) {
    const content = await hashBlob(file.path);
    if (file.sha256 !== undefined && file.sha256 !== content.sha256) {
      throw new AppError(
        'invalid',
        `${file.path}: its SHA-256 is ${content.sha256}, expected ${file.sha256}; it changes while it is read`,
      );
    }
    hashed.push({ ...file, ...content });
  }
  return hashed;
}

/** A release of this version that says the same and is signed by the same key; it may be from an earlier try. */
async function findSame(
  api: ReleaseApi,
  manifest: ReleaseManifest,
  { publicKey }: LocalKey,
): Promise<ReleaseSummary | undefined> {
  const { kind, name, version } = manifest;
  const there = await api.releases({ kind, name });
  const newest = there.at(-1);
  if (newest === undefined || newest.version < version) return undefined;
  const same = there.find((release) => release.version === version);
  if (same !== undefined && same.keyId === publicKey.id && same.damaged.length === 0) {
    const stored = (await api.release(kind, name, version)).manifest;
    if (isDeepStrictEqual(timeless(stored), timeless(manifest))) return same;
  }
  throw new AppError(
    'conflict',
    `${kind} ${name}: version ${newest.version} is there already; publish this one with --version ${newest.version + 1}`,
  );
}

function timeless({ createdTs: _created, expiresTs: _expires, ...rest }: ReleaseManifest): object {
  return rest;
}

interface Signed {
  readonly manifest: ReleaseManifest;
  readonly key: LocalKey;
  readonly files: readonly HashedFile[];
}

async function send(
  world: World,
  api: ReleaseApi,
  { manifest, key, files }: Signed,
): Promise<ReleaseSummary> {
  const bytes = encodeRelease(manifest);
  const body = {
    manifest: Buffer.from(bytes).toString('base64'),
    signature: signBytes(key.privatePem, bytes),
  };
  for (let tries = 0; tries < MAX_TRIES; tries += 1) {
    const answer = await api.publish(body);
    if ('release' in answer) return answer.release;
    await upload(world, api, { files, missing: new Set(answer.missing) });
  }
  throw new AppError('conflict', `${nameOf(manifest)}: its blobs are deleted again while they are uploaded`);
}

async function upload(
  { clock, note }: World,
  api: ReleaseApi,
  { files, missing }: { readonly files: readonly HashedFile[]; readonly missing: ReadonlySet<string> },
): Promise<void> {
  const wanted = files.filter(({ sha256 }) => missing.has(sha256));
  const bytes = wanted.reduce((sum, file) => sum + file.bytes, 0);
  note(`uploading ${wanted.length} of ${files.length} blobs, ${formatBytes(bytes)}`);
  for (const [index, file] of wanted.entries()) {
    const what = `${index + 1}/${wanted.length} ${file.role} ${file.sha256.slice(0, 12)}`;
    note(`${what}: ${formatBytes(file.bytes)}`);
    let sent = 0;
    let toldMs = clock.monoMs();
    await api.putBlob(file, (count) => {
      sent += count;
      if (clock.monoMs() - toldMs < PROGRESS_MS) return;
      toldMs = clock.monoMs();
      note(`${what}: ${Math.floor((100 * sent) / file.bytes)}%`);
    });
  }
}
