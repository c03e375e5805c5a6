import { AppError } from '../../shared/errors.ts';
import { type Manifest, manifestParser } from '../../shared/family/manifest.ts';
import { MAX_MANIFEST_BYTES } from '../../shared/family/read.ts';
import { sha256 } from '../../shared/files.ts';
import type { ReleaseKind } from '../../shared/protocol/release.ts';
import { parseJson } from '../../shared/schema.ts';
import type { ReleaseDetail, ReleaseList, ReleaseQuery, ReleaseSummary } from '../api/release-schemas.ts';
import { type Client, createClient } from './client.ts';
import type { Cli } from './context.ts';
import { findCredentials } from './credentials.ts';
import { type Body, createStreams, type Streams } from './stream.ts';
import { createUploads, type Uploads } from './upload.ts';

/** The part of the controller's API that is about releases. */
export interface ReleaseApi extends Uploads {
  /** By kind and name, oldest version first. */
  releases(query: ReleaseQuery): Promise<ReleaseSummary[]>;
  /** @param version undefined: the newest */
  release(kind: ReleaseKind, name: string, version?: number): Promise<ReleaseDetail>;
  deleteRelease(kind: ReleaseKind, name: string, version: number): Promise<void>;
  /** The family.json of a family's release. */
  familyOf(release: ReleaseDetail): Promise<Manifest>;
}

/** The controller's calls that are about releases. */
export async function connectReleases({ env }: Pick<Cli, 'env'>): Promise<ReleaseApi> {
  const credentials = await findCredentials(env);
  const client = createClient(credentials);
  const streams = createStreams(credentials);
  return {
    ...createUploads(credentials),
    releases: (query) => listOf(client, query),
    release: async (kind, name, version) => {
      const wanted = version ?? (await newestOf(client, kind, name));
      return client({ method: 'GET', path: pathOf(kind, name, wanted) });
    },
    deleteRelease: (kind, name, version) => client({ method: 'DELETE', path: pathOf(kind, name, version) }),
    familyOf: (release) => readFamilyJson(streams, release),
  };
}

function pathOf(kind: ReleaseKind, name: string, version: number): string {
  return `/v1/releases/${kind}/${name}/${version}`;
}

async function listOf(client: Client, query: ReleaseQuery): Promise<ReleaseSummary[]> {
  return (await client<ReleaseList>({ method: 'GET', path: '/v1/releases', query })).releases;
}

async function newestOf(client: Client, kind: ReleaseKind, name: string): Promise<number> {
  const newest = (await listOf(client, { kind, name })).at(-1);
  if (newest !== undefined) return newest.version;
  throw new AppError('not-found', `there is no release ${kind} ${name}`);
}

const parseFamily = manifestParser();

async function readFamilyJson(streams: Streams, { ref, manifest }: ReleaseDetail): Promise<Manifest> {
  const what = `family.json of ${ref.name} ${ref.version}`;
  const blob = manifest.blobs.find(({ role }) => role === 'family');
  if (blob === undefined) throw new AppError('invalid', `${what}: the release names none`);
  const body = await streams({ method: 'GET', path: `/v1/blobs/${blob.sha256}` });
  const bytes = await collect(body, what);
  const found = sha256(bytes);
  if (found !== blob.sha256) {
    throw new AppError('invalid', `${what}: what came has SHA-256 ${found}, expected ${blob.sha256}`);
  }
  return parseJson(new TextDecoder().decode(bytes), parseFamily, what);
}

async function collect(body: Body, what: string): Promise<Uint8Array> {
  const parts: Uint8Array[] = [];
  let bytes = 0;
  for await (const part of body) {
    bytes += part.length;
    if (bytes > MAX_MANIFEST_BYTES)
      throw new AppError('invalid', `${what}: above ${MAX_MANIFEST_BYTES} bytes`);
    parts.push(part);
  }
  return Buffer.concat(parts);
}
