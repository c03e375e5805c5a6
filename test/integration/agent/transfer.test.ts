import { readFile } from 'node:fs/promises';
import { join } from 'node:path';
import { expect, test } from 'vitest';
import { openBlobStore } from '../../../agent/blobs/blob-store.ts';
import { createFetcher } from '../../../agent/transfer/fetcher.ts';
import { type Broker, startBroker } from '../../../controller/broker/broker.ts';
import {
  createTransferServer,
  DEFAULT_TRANSFER_LIMITS,
} from '../../../controller/transfer/transfer-server.ts';
import { type Clock, systemClock } from '../../../shared/clock.ts';
import { connectMqtt, type MqttConnection } from '../../../shared/mqtt.ts';
import { decodeMessage, encodeMessage } from '../../../shared/protocol/messages.ts';
import { CHUNK_BYTES } from '../../../shared/protocol/release.ts';
import { topicOf } from '../../../shared/protocol/topics.ts';
import { FLEET, silentLog } from '../../support/controller.ts';
import { temporaryFolder } from '../../support/temp.ts';
import { type TestBlob, testBlob } from '../../support/transfer.ts';

const BLOBS = [testBlob(40 * CHUNK_BYTES + 1), testBlob(CHUNK_BYTES), testBlob(12)] as const;
const REFS = BLOBS.map(({ ref }) => ref);
/** Devices are as patient as they are, ten times as fast. */
const quickClock: Clock = {
  ...systemClock,
  monoMs: () => systemClock.monoMs() * 10,
  sleep: (ms, signal) => systemClock.sleep(ms / 10, signal),
};
const random = (): number => 0.5;

function connect(
  { url }: Broker,
  clientId: string,
  onMessage: (topic: string, payload: Uint8Array) => void,
): Promise<MqttConnection> {
  const timeouts = { keepaliveS: 30, connectTimeoutMs: 5_000, publishTimeoutMs: 10_000 };
  return connectMqtt({ url, clientId, ...timeouts, onMessage });
}

/** The controller's side on a connection of its own. */
async function serving(broker: Broker, blobs: readonly TestBlob[]) {
  const connection = await connect(broker, 'controller', (topic, payload) => {
    const message = decodeMessage(topic, payload);
    if (message.ok && message.kind === 'want') server.want(message.parameters.device, message.payload);
  });
  const server = createTransferServer({
    clock: systemClock,
    random,
    fleet: FLEET,
    log: silentLog,
    publish: (topic, payload) => connection.publish(topic, payload),
    readChunk: async (sha256, n) => blobs.find(({ ref }) => ref.sha256 === sha256)?.chunk(n),
    expectsMore: () => false,
    limits: DEFAULT_TRANSFER_LIMITS,
  });
  server.start();
  await connection.subscribe([topicOf('want', { fleet: FLEET, device: '+' })]);
  const dispose = async (): Promise<void> => {
    await server[Symbol.asyncDispose]();
    await connection.close();
  };
  return { server, [Symbol.asyncDispose]: dispose };
}

/** A device's side; `connectNow` gives it a link, which is the only one. */
async function device(broker: Broker, name: string, stateDir: string) {
  const store = await openBlobStore(stateDir);
  const fetcher = createFetcher({ store, clock: quickClock, random, log: silentLog });
  let heard = 0;
  let onHeard = (_count: number): void => {};
  const filters = (names: readonly string[]): string[] =>
    names.map((sha256) => topicOf('chunk', { fleet: FLEET, sha256, n: '+' }));
  const connectNow = async (): Promise<MqttConnection> => {
    const connection = await connect(broker, name, (topic, payload) => {
      const message = decodeMessage(topic, payload);
      if (!message.ok || message.kind !== 'chunk') return;
      fetcher.receive(message.parameters.sha256, Number(message.parameters.n), message.payload);
      heard += 1;
      onHeard(heard);
    });
    fetcher.linkUp({
      follow: (names) => connection.subscribe(filters(names)),
      unfollow: (names) => connection.unsubscribe(filters(names)),
      want: (want) =>
        connection.publish(topicOf('want', { fleet: FLEET, device: name }), encodeMessage('want', want)),
    });
    void connection.ended.then(() => fetcher.linkDown());
    return connection;
  };
  const untilHeard = (count: number): Promise<void> =>
    new Promise((resolve) => {
      onHeard = (now) => {
        if (now >= count) resolve();
      };
    });
  const fetch = (signal: AbortSignal = AbortSignal.timeout(50_000)): Promise<void> =>
    fetcher.fetch(REFS, { signal, noProgressMs: 400_000, onProgress: () => undefined });
  const check = async (): Promise<void> => {
    for (const { ref, content } of BLOBS) {
      expect(new Uint8Array(await readFile(store.pathOf(ref.sha256)))).toEqual(content);
    }
  };
  return { fetcher, connectNow, fetch, untilHeard, check };
}

test('devices hear the same chunks, each published once, and end with the same files', async () => {
  await using folder = await temporaryFolder();
  await using broker = await startBroker({ host: '127.0.0.1', port: 0, log: silentLog });
  const names = ['d1', 'd2', 'd3'];
  const devices = await Promise.all(names.map((name) => device(broker, name, join(folder.path, name))));
  const connections = await Promise.all(devices.map(({ connectNow }) => connectNow()));
  await using served = await serving(broker, BLOBS);
  await Promise.all(devices.map(({ fetch }) => fetch()));
  await Promise.all(devices.map(({ check }) => check()));
  const total = REFS.reduce((sum, { chunks }) => sum + chunks.length, 0);
  expect(served.server.stats().publishedChunks).toBeLessThan(2 * total);
  for (const connection of connections) await connection.close();
});

test('a device that was cut off, and then began anew, asks only for the rest', async () => {
  await using folder = await temporaryFolder();
  await using broker = await startBroker({ host: '127.0.0.1', port: 0, log: silentLog });
  await using served = await serving(broker, BLOBS);
  const first = await device(broker, 'd1', folder.path);
  const stop = new AbortController();
  const connection = await first.connectNow();
  const some = first.untilHeard(10);
  const fetched = first.fetch(stop.signal);
  await some;
  stop.abort(new Error('the power went'));
  await expect(fetched).rejects.toThrow('the power went');
  await connection.close();
  const { stored } = first.fetcher.counts;
  const again = await device(broker, 'd1', folder.path);
  const second = await again.connectNow();
  await again.fetch();
  await again.check();
  const total = REFS.reduce((sum, { chunks }) => sum + chunks.length, 0);
  expect(stored).toBeGreaterThan(0);
  expect(again.fetcher.counts.stored).toBe(total - stored);
  expect(served.server.stats().unknown).toBe(0);
  await second.close();
});

test('a controller that comes late is asked again', async () => {
  await using folder = await temporaryFolder();
  await using broker = await startBroker({ host: '127.0.0.1', port: 0, log: silentLog });
  const one = await device(broker, 'd1', folder.path);
  const connection = await one.connectNow();
  const fetched = one.fetch();
  await using served = await serving(broker, BLOBS);
  await fetched;
  await one.check();
  expect(served.server.stats().waiting).toBe(0);
  await connection.close();
});
