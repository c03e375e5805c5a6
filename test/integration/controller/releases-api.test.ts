import { once } from 'node:events';
import { readdir, writeFile } from 'node:fs/promises';
import { request } from 'node:http';
import { connect } from 'node:net';
import { join } from 'node:path';
import { afterEach, beforeEach, expect, it } from 'vitest';
import {
  MissingBlobsSchema,
  ReleaseDetailSchema,
  ReleaseListSchema,
} from '../../../controller/api/release-schemas.ts';
import { sha256 } from '../../../shared/files.ts';
import { programRelease } from '../../../shared/release/build.ts';
import { hashBlob } from '../../../shared/release/hash-blob.ts';
import { parserOf } from '../../../shared/schema.ts';
import { eventually } from '../../support/controller.ts';
import {
  openReleaseWorld,
  type ReleaseServer,
  type ReleaseWorld,
  serveReleases,
  signed,
} from '../../support/releases.ts';
import { temporaryFolder } from '../../support/temp.ts';

const OCTETS = { 'content-type': 'application/octet-stream' };
const CONTENT = Buffer.from('0123456789'.repeat(20_000));
const HASH = sha256(CONTENT);

let folder: Awaited<ReturnType<typeof temporaryFolder>>;
let world: ReleaseWorld;
let server: ReleaseServer;

beforeEach(async () => {
  folder = await temporaryFolder();
  world = await openReleaseWorld(folder.path);
  server = await serveReleases(world.releases);
});

afterEach(async () => {
  await server[Symbol.asyncDispose]();
  await world[Symbol.asyncDispose]();
  await folder[Symbol.asyncDispose]();
});

function put(hash: string, body: Uint8Array, headers: Record<string, string> = OCTETS): Promise<Response> {
  return fetch(`${server.url}/v1/blobs/${hash}`, { method: 'PUT', headers, body: Buffer.from(body) });
}

function get(headers: Record<string, string> = {}, method = 'GET'): Promise<Response> {
  return fetch(`${server.url}/v1/blobs/${HASH}`, { method, headers });
}

it('a blob goes up once, and comes back whole, as a range, or as its headers only', async () => {
  expect((await get()).status).toBe(404);
  const stored = await put(HASH, CONTENT);
  expect([stored.status, await stored.json()]).toEqual([201, { state: 'stored' }]);
  const known = await put(HASH, CONTENT);
  expect([known.status, await known.json()]).toEqual([200, { state: 'known' }]);

  const whole = await get();
  expect(whole.status).toBe(200);
  expect(whole.headers.get('etag')).toBe(`"${HASH}"`);
  expect(whole.headers.get('accept-ranges')).toBe('bytes');
  expect(Buffer.from(await whole.arrayBuffer())).toEqual(CONTENT);

  const head = await get({ range: 'bytes=0-4' }, 'HEAD');
  expect([head.status, head.headers.get('content-length')]).toEqual([200, '200000']);
  expect((await head.arrayBuffer()).byteLength).toBe(0);
});

it('a range is one of the blob that is meant, or refused', async () => {
  await put(HASH, CONTENT);
  const part = await get({ range: 'bytes=65536-65545' });
  expect([part.status, part.headers.get('content-range')]).toEqual([206, 'bytes 65536-65545/200000']);
  expect(Buffer.from(await part.arrayBuffer())).toEqual(CONTENT.subarray(65_536, 65_546));
  const rest = await get({ range: 'bytes=-5', 'if-range': `"${HASH}"` });
  expect([rest.status, await rest.text()]).toEqual([206, '56789']);
  const other = await get({ range: 'bytes=-5', 'if-range': '"other"' });
  expect([other.status, (await other.arrayBuffer()).byteLength]).toEqual([200, CONTENT.length]);
  const outside = await get({ range: 'bytes=200000-' });
  expect([outside.status, outside.headers.get('content-range')]).toEqual([416, 'bytes */200000']);
  await outside.arrayBuffer();
});

it('names that are no SHA-256 are refused, whatever they try', async () => {
  for (const name of ['..%2f..%2ffleet.db', 'a'.repeat(63), 'A'.repeat(64), `${HASH}%00`, `${HASH}.tmp`]) {
    const url = `${server.url}/v1/blobs/${name}`;
    const status = async (method: string, rest: RequestInit = {}) =>
      (await fetch(url, { method, ...rest })).status;
    expect(await status('GET'), name).toBe(400);
    expect(await status('PUT', { headers: OCTETS, body: 'x' }), name).toBe(400);
  }
  const raw = connect(Number(new URL(server.url).port), '127.0.0.1');
  raw.write('GET /v1/blobs/../../fleet.db HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n');
  const [answer] = await once(raw, 'data');
  expect(String(answer)).toMatch(/^HTTP\/1\.1 404 /);
  raw.destroy();
});

it('a body that is not the blob leaves nothing, and the connection goes on', async () => {
  const wrong = await put(HASH, Buffer.from('something else'));
  expect([wrong.status, await wrong.json()]).toMatchObject([400, { error: { code: 'invalid' } }]);
  expect((await put(HASH, CONTENT, { 'content-type': 'application/json' })).status).toBe(415);
  expect((await fetch(`${server.url}/v1/blobs/${HASH}`, { method: 'PUT', headers: OCTETS })).status).toBe(
    400,
  );
  world.facts.freeBytes = 0;
  const full = await put(HASH, CONTENT);
  expect([full.status, await full.json()]).toMatchObject([500, { error: { code: 'system' } }]);
  expect(await readdir(join(folder.path, 'blobs'))).toEqual([]);
});

it('an upload that breaks off leaves nothing', async () => {
  const headers = { ...OCTETS, 'content-length': CONTENT.length };
  const outgoing = request(`${server.url}/v1/blobs/${HASH}`, { method: 'PUT', headers });
  outgoing.on('error', () => undefined);
  outgoing.write(CONTENT.subarray(0, 100_000));
  await eventually(async () => expect(await readdir(join(folder.path, 'blobs'))).toHaveLength(1));
  outgoing.destroy();
  await eventually(async () => expect(await readdir(join(folder.path, 'blobs'))).toEqual([]));
});

it('a release is posted, told which blobs it lacks, listed, shown and deleted', async () => {
  const path = join(folder.path, 'program.tgz');
  await writeFile(path, CONTENT);
  const now = world.clock.now();
  const manifest = programRelease(
    { role: 'program', path, ...(await hashBlob(path)) },
    {
      ...{ name: 'ofa-agent', version: 1, createdTs: now, expiresTs: now + 1_000 },
      program: { version: '0.2.0', minNode: 24 },
    },
  );
  const { bytes, signature } = signed(manifest);
  const ask = async (method: string, place: string, body?: unknown) => {
    const headers = body === undefined ? {} : { 'content-type': 'application/json' };
    const answer = await fetch(`${server.url}/v1/releases${place}`, {
      ...{ method, headers },
      ...(body === undefined ? {} : { body: JSON.stringify(body) }),
    });
    const text = await answer.text();
    return { status: answer.status, body: text === '' ? undefined : JSON.parse(text) };
  };
  const release = { manifest: Buffer.from(bytes).toString('base64'), signature };
  const lacking = await ask('POST', '', release);
  expect(lacking.status).toBe(409);
  expect(parserOf(MissingBlobsSchema)(lacking.body, 'answer').missing).toEqual([HASH]);
  await put(HASH, CONTENT);
  expect(await ask('POST', '', release)).toMatchObject({
    status: 200,
    body: { name: 'ofa-agent', version: 1 },
  });
  expect((await ask('POST', '', release)).status).toBe(200);
  expect((await ask('POST', '', { ...release, manifest: `${release.manifest.slice(0, -1)}!` })).status).toBe(
    400,
  );

  const list = parserOf(ReleaseListSchema)((await ask('GET', '?kind=program')).body, 'list');
  expect(list.releases).toMatchObject([{ bytes: CONTENT.length, blobs: 1, damaged: [] }]);
  expect((await ask('GET', '?kind=family')).body).toEqual({ releases: [] });
  const shown = parserOf(ReleaseDetailSchema)((await ask('GET', '/program/ofa-agent/1')).body, 'release');
  expect(shown).toMatchObject({ ref: { signature }, manifest });
  expect((await fetch(`${server.url}/v1/blobs/${shown.ref.manifest.sha256}`)).status).toBe(200);

  world.facts.needed.add('program ofa-agent 1');
  expect(await ask('DELETE', '/program/ofa-agent/1')).toMatchObject({ status: 409 });
  world.facts.needed.clear();
  expect((await ask('DELETE', '/program/ofa-agent/1')).status).toBe(204);
  expect((await ask('GET', '/program/ofa-agent/1')).status).toBe(404);
  expect((await ask('GET', '/else/ofa-agent/1')).status).toBe(400);
});
