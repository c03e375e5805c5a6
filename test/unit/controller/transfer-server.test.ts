import { expect, test } from 'vitest';
import {
  createTransferServer,
  DEFAULT_TRANSFER_LIMITS,
  type TransferDeps,
} from '../../../controller/transfer/transfer-server.ts';
import { AppError } from '../../../shared/errors.ts';
import { CHUNK_BYTES } from '../../../shared/protocol/release.ts';
import { parseTopic } from '../../../shared/protocol/topics.ts';
import { manualClock } from '../../support/clock.ts';
import { silentLog } from '../../support/controller.ts';
import { settled, testBlob } from '../../support/transfer.ts';

const BLOB = testBlob(20 * CHUNK_BYTES + 5);
const ALL = { v: 1 as const, sha256: BLOB.ref.sha256, chunks: [[0, 20] as [number, number]] };

function serving(overrides: Partial<TransferDeps> = {}, limits: Partial<TransferDeps['limits']> = {}) {
  const clock = manualClock();
  const sent: number[] = [];
  const server = createTransferServer({
    clock,
    random: () => 0.5,
    fleet: 'lab',
    log: silentLog,
    publish: async (topic, payload) => {
      const parsed = parseTopic(topic);
      const n = parsed?.kind === 'chunk' ? Number(parsed.parameters.n) : -1;
      expect(Buffer.compare(payload, BLOB.chunk(n) ?? new Uint8Array())).toBe(0);
      sent.push(n);
    },
    readChunk: async (sha256, n) => (sha256 === BLOB.ref.sha256 ? BLOB.chunk(n) : undefined),
    expectsMore: () => false,
    limits: { ...DEFAULT_TRANSFER_LIMITS, ...limits },
    ...overrides,
  });
  server.start();
  return { clock, sent, server };
}

const upTo = (count: number): number[] => Array.from({ length: count }, (_, n) => n);

test('every chunk is published on its topic, and the last one is short', async () => {
  const { sent, server } = serving();
  await using _ = server;
  server.want('d1', ALL);
  await settled();
  expect(sent).toEqual(upTo(21));
  expect(server.stats()).toEqual({
    publishedChunks: 21,
    publishedBytes: 20 * CHUNK_BYTES + 5,
    waiting: 0,
    merged: 0,
    unknown: 0,
    dropped: 0,
  });
});

test('no more publishes are under way than may be', async () => {
  let [now, most] = [0, 0];
  const publish = async (): Promise<void> => {
    now += 1;
    most = Math.max(most, now);
    await settled(2);
    now -= 1;
  };
  const { server } = serving({ publish }, { inFlight: 3 });
  await using _ = server;
  server.want('d1', ALL);
  await settled(60);
  expect(server.stats().publishedChunks).toBe(21);
  expect(most).toBe(3);
});

test('bytes per second are bounded', async () => {
  const { clock, sent, server } = serving({}, { bytesPerS: 2 * CHUNK_BYTES });
  await using _ = server;
  server.want('d1', ALL);
  await settled();
  expect(sent).toHaveLength(1);
  for (let second = 0; second < 5; second += 1) {
    await clock.advance(1_000);
    await settled();
  }
  expect(sent.length).toBeGreaterThanOrEqual(10);
  expect(sent.length).toBeLessThanOrEqual(11);
});

test('a chunk that the broker does not take waits until it does, ever more patiently', async () => {
  let isUp = false;
  let tries = 0;
  const taken: string[] = [];
  const publish = async (topic: string): Promise<void> => {
    tries += 1;
    if (!isUp) throw new AppError('unreachable', 'no connection');
    taken.push(topic);
  };
  const { clock, server } = serving({ publish }, { inFlight: 4 });
  await using _ = server;
  server.want('d1', ALL);
  for (let second = 0; second < 60; second += 1) {
    await clock.advance(1_000);
    await settled(2);
  }
  expect(tries).toBeLessThan(120);
  expect(server.stats()).toMatchObject({ publishedChunks: 0, waiting: 21 });
  isUp = true;
  await clock.advance(15_000);
  await settled();
  expect(server.stats()).toMatchObject({ publishedChunks: 21, waiting: 0 });
  expect(new Set(taken).size).toBe(21);
});

test('a chunk that cannot be read is left out, and the others are sent', async () => {
  const readChunk = async (_sha256: string, n: number): Promise<Uint8Array | undefined> => {
    if (n === 3) throw new Error('EIO');
    return BLOB.chunk(n);
  };
  const { sent, server } = serving({ readChunk });
  await using _ = server;
  server.want('d1', ALL);
  await settled();
  expect(sent).toEqual(upTo(21).filter((n) => n !== 3));
});

test('what is not there is counted', async () => {
  const { sent, server } = serving();
  await using _ = server;
  server.want('d1', { v: 1, sha256: 'f'.repeat(64), chunks: [[0, 4]] });
  server.want('d1', { ...ALL, chunks: [[20, 22]] });
  await settled();
  expect(sent).toEqual([20]);
  expect(server.stats().unknown).toBe(7);
});

test('a device that is alone is answered at once, and one of many waits for the others', async () => {
  const expected = 2;
  const { clock, sent, server } = serving({ expectsMore: ({ asked }) => asked.size < expected });
  await using _ = server;
  server.want('d1', ALL);
  await clock.advance(30_000);
  await settled();
  expect(sent).toEqual([]);
  server.want('d2', ALL);
  await clock.advance(250);
  await settled();
  expect(sent).toHaveLength(21);
});

test('a fault of what it asks is survived', async () => {
  let asked = 0;
  const expectsMore = (): boolean => {
    asked += 1;
    if (asked === 1) throw new Error('a fault');
    return false;
  };
  const { clock, sent, server } = serving({ expectsMore });
  await using _ = server;
  server.want('d1', ALL);
  await settled();
  await clock.advance(1_000);
  await settled();
  expect(sent).toHaveLength(21);
});

test('names of blobs that nobody has take no room from those that are there', async () => {
  const { sent, server } = serving({ hasBlob: (sha256) => sha256 === BLOB.ref.sha256 });
  await using _ = server;
  for (let n = 0; n < 2_000; n += 1) {
    server.want('hog', { v: 1, sha256: n.toString(16).padStart(64, '0'), chunks: [[0, 9]] });
  }
  server.want('d1', ALL);
  await settled();
  expect(sent).toEqual(upTo(21));
  expect(server.stats()).toMatchObject({ publishedChunks: 21, unknown: 20_000, dropped: 0, waiting: 0 });
});
