import { readFile, writeFile } from 'node:fs/promises';
import { createServer, type IncomingMessage, type ServerResponse } from 'node:http';
import { afterEach, describe, expect, test } from 'vitest';
import { openBlobStore } from '../../../agent/blobs/blob-store.ts';
import { createFetcher } from '../../../agent/transfer/fetcher.ts';
import { createHttpSource, type HttpSourceDeps } from '../../../agent/transfer/http-source.ts';
import { type Clock, systemClock } from '../../../shared/clock.ts';
import { CHUNK_BYTES } from '../../../shared/protocol/release.ts';
import { silentLog } from '../../support/controller.ts';
import { temporaryFolder } from '../../support/temp.ts';
import { testBlob } from '../../support/transfer.ts';

const BLOB = testBlob(7 * CHUNK_BYTES + 11);
const LIMIT = AbortSignal.timeout(60_000);
/** Waits for a retry are shorter. */
const quickClock: Clock = {
  ...systemClock,
  sleep: (ms, signal) => systemClock.sleep(ms / 50, signal),
};

type Answer = (request: IncomingMessage, response: ServerResponse) => void;
const closing: (() => Promise<void>)[] = [];
afterEach(async () => {
  for (const close of closing.splice(0)) await close();
});

/** An HTTP server that answers as it is told, and keeps what it was asked. */
async function serve(answer: Answer) {
  const asked: { readonly url: string; readonly range: string; readonly authorization: string }[] = [];
  const server = createServer((request, response) => {
    const { range = '', authorization = '' } = request.headers;
    asked.push({ url: request.url ?? '', range, authorization });
    answer(request, response);
  });
  await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve));
  closing.push(async () => {
    server.closeAllConnections();
    await new Promise((resolve) => server.close(resolve));
  });
  const address = server.address();
  const port = typeof address === 'object' && address !== null ? address.port : 0;
  return { url: `http://127.0.0.1:${port}`, asked };
}

/** As static servers do. */
const withRange: Answer = ({ headers }, response) => {
  const [, from = '0', to = '0'] = /^bytes=(\d+)-(\d+)$/.exec(headers.range ?? '') ?? [];
  const body = BLOB.content.subarray(Number(from), Number(to) + 1);
  response.writeHead(206, {
    'Content-Range': `bytes ${from}-${to}/${BLOB.ref.bytes}`,
    'Content-Length': body.length,
  });
  response.end(body);
};
const withoutRange: Answer = (_request, response) => {
  response.writeHead(200, { 'Content-Length': BLOB.ref.bytes });
  response.end(BLOB.content);
};
const status =
  (code: number): Answer =>
  (_request, response) => {
    response.writeHead(code);
    response.end();
  };

/** A part of which chunks 0 and 3 are there already. */
async function filling(url: string, options: Partial<HttpSourceDeps> = {}) {
  const folder = await temporaryFolder();
  closing.push(async () => await folder[Symbol.asyncDispose]());
  const store = await openBlobStore(folder.path);
  const part = await store.open(BLOB.ref);
  for (const n of [0, 3]) await part.write(n, BLOB.chunk(n) ?? new Uint8Array());
  const source = createHttpSource({
    baseUrl: `${url}/blobs`,
    clock: quickClock,
    random: () => 0.5,
    log: silentLog,
    ...options,
  });
  let stored = 0;
  const onStored = (): void => {
    stored += 1;
  };
  const outcome = await source.fill(BLOB.ref, part, { signal: LIMIT, onStored });
  await part[Symbol.asyncDispose]();
  return { outcome, part, stored };
}

test('only what is missing is asked for', async () => {
  const { url, asked } = await serve(withRange);
  const { outcome, part, stored } = await filling(url);
  expect(outcome).toBe('complete');
  expect(stored).toBe(6);
  expect(asked).toEqual([
    {
      url: `/blobs/${BLOB.ref.sha256}`,
      range: `bytes=${CHUNK_BYTES}-${3 * CHUNK_BYTES - 1}`,
      authorization: '',
    },
    {
      url: `/blobs/${BLOB.ref.sha256}`,
      range: `bytes=${4 * CHUNK_BYTES}-${BLOB.ref.bytes - 1}`,
      authorization: '',
    },
  ]);
  await part.finish();
});

test('a server that does not know Range is read from the beginning, once', async () => {
  const { url, asked } = await serve(withoutRange);
  const { outcome, stored } = await filling(url);
  expect([outcome, stored, asked.length]).toEqual(['complete', 6, 1]);
});

test('what broke off goes on where it was', async () => {
  let requests = 0;
  const { url, asked } = await serve((request, response) => {
    requests += 1;
    if (requests > 1) return withRange(request, response);
    response.writeHead(200, { 'Content-Length': BLOB.ref.bytes });
    response.write(BLOB.content.subarray(0, 2 * CHUNK_BYTES + 9), () => response.destroy());
  });
  const { outcome } = await filling(url);
  expect(outcome).toBe('complete');
  expect(asked.map(({ range }) => range).at(1)).toBe(`bytes=${2 * CHUNK_BYTES}-${3 * CHUNK_BYTES - 1}`);
});

test('a server that fails for a while is tried again, and one that fails for ever is not', async () => {
  let failures = 3;
  const flaky = await serve((request, response) => {
    failures -= 1;
    (failures >= 0 ? status(503) : withRange)(request, response);
  });
  expect((await filling(flaky.url)).outcome).toBe('complete');
  const broken = await serve(status(500));
  expect((await filling(broken.url)).outcome).toBe('unreachable');
  expect(broken.asked).toHaveLength(8);
});

test('a server that says nothing is given up', async () => {
  const { url, asked } = await serve(() => undefined);
  expect((await filling(url, { stallMs: 1_000 })).outcome).toBe('unreachable');
  expect(asked).toHaveLength(8);
  const stuck = await serve((_request, response) => {
    response.writeHead(200, { 'Content-Length': BLOB.ref.bytes });
    response.write(BLOB.content.subarray(0, 100));
  });
  expect((await filling(stuck.url, { stallMs: 1_000 })).outcome).toBe('unreachable');
});

describe('an answer that ends it', () => {
  const wrong: Answer = (_request, response) => {
    response.writeHead(200);
    response.end(Buffer.alloc(BLOB.ref.bytes));
  };
  const shifted: Answer = (_request, response) => {
    response.writeHead(206, { 'Content-Range': `bytes 7-999/${BLOB.ref.bytes}` });
    response.end(BLOB.content.subarray(7, 1_000));
  };
  const endless: Answer = (_request, response) => {
    response.writeHead(206, { 'Content-Range': `bytes ${CHUNK_BYTES}-/*` });
    response.end(Buffer.concat([BLOB.content.subarray(CHUNK_BYTES), Buffer.alloc(CHUNK_BYTES)]));
  };
  test.each<readonly [string, Answer, string]>([
    ['not found', status(404), 'absent'],
    ['gone', status(410), 'absent'],
    ['forbidden', status(403), 'refused'],
    ['range refused', status(416), 'refused'],
    ['another content', wrong, 'refused'],
    ['another range', shifted, 'refused'],
    ['more than there is', endless, 'complete'],
  ])('%s', async (_what, answer, outcome) => {
    const { url, asked } = await serve(answer);
    expect((await filling(url)).outcome).toBe(outcome);
    expect(asked.length).toBeLessThanOrEqual(2);
  });

  test('a file of another length', async () => {
    const { url, asked } = await serve((_request, response) => response.end('short'));
    expect((await filling(url)).outcome).toBe('refused');
    expect(asked).toHaveLength(1);
  });
});

test('a token goes to its server and to nobody it names', async () => {
  const other = await serve(withRange);
  const first = await serve((_request, response) => {
    response.writeHead(302, { Location: `${other.url}/blobs/${BLOB.ref.sha256}` });
    response.end();
  });
  const withToken = await filling(first.url, { token: async () => 'secret' });
  expect(withToken.outcome).toBe('refused');
  expect(first.asked[0]?.authorization).toBe('Bearer secret');
  expect(other.asked).toEqual([]);
  expect((await filling(first.url)).outcome).toBe('complete');
});

test('a server that never gets further is bounded in bytes', async () => {
  let bytes = 0;
  const { url } = await serve((_request, response) => {
    const content = new Uint8Array(BLOB.content.subarray(0, 2 * CHUNK_BYTES - 1));
    bytes += content.length;
    response.writeHead(200);
    response.end(content);
  });
  expect((await filling(url)).outcome).toBe('unreachable');
  expect(bytes).toBeLessThan(8 * 2 * CHUNK_BYTES);
});

test('a server that gives a byte now and then is given up', async () => {
  const { url, asked } = await serve((_request, response) => {
    response.writeHead(200, { 'Content-Length': BLOB.ref.bytes });
    const dripping = setInterval(() => response.write('.'), 10);
    response.on('close', () => clearInterval(dripping));
  });
  const clock: Clock = { ...quickClock, monoMs: () => 1_000 * systemClock.monoMs() };
  expect((await filling(url, { clock, stallMs: 20_000 })).outcome).toBe('unreachable');
  expect(asked).toHaveLength(8);
});

test('what HTTP does not bring comes over the link', async () => {
  const { url } = await serve(status(404));
  await using folder = await temporaryFolder();
  await writeFile(`${folder.path}/x`, '');
  const store = await openBlobStore(folder.path);
  const deps = { clock: quickClock, random: () => 0.5, log: silentLog };
  const fetcher = createFetcher({ ...deps, store, http: createHttpSource({ ...deps, baseUrl: url }) });
  fetcher.linkUp({
    follow: async () => undefined,
    unfollow: async () => undefined,
    want: async ({ sha256 }) => {
      for (const n of BLOB.ref.chunks.keys()) fetcher.receive(sha256, n, BLOB.chunk(n) ?? new Uint8Array());
    },
  });
  await fetcher.fetch([BLOB.ref], { signal: LIMIT, noProgressMs: 30_000, onProgress: () => undefined });
  expect(new Uint8Array(await readFile(store.pathOf(BLOB.ref.sha256)))).toEqual(BLOB.content);
});
