import { createServer } from 'node:net';
import { afterEach, beforeEach, describe, expect, test, vi } from 'vitest';
import { type GoodMessage, keepLink, type LinkDeps, type Uplink } from '../../../agent/link/link.ts';
import { systemClock } from '../../../shared/clock.ts';
import { connectMqtt, type MqttConnection } from '../../../shared/mqtt.ts';
import { decodeMessage, encodeMessage } from '../../../shared/protocol/messages.ts';
import type { DeviceStatus } from '../../../shared/protocol/status.ts';
import { topicOf } from '../../../shared/protocol/topics.ts';
import { BOOT, keptLog, startBroker, type TestBroker } from '../../support/agent.ts';

const AT = { fleet: 'lab', device: 'jetson-1' };
const OTHER_BOOT = '0000bbbb-0001';

let broker: TestBroker;
let cleanups: (() => Promise<void>)[];

beforeEach(async () => {
  broker = await startBroker();
  cleanups = [];
});

afterEach(async () => {
  for (const cleanup of cleanups.reverse()) await cleanup();
  await broker[Symbol.asyncDispose]();
});

/** A wait that is over at once, and kept; long ones last until they are aborted. */
function impatientClock(longMs = 100_000) {
  const waits: number[] = [];
  const sleep = async (ms: number, signal?: AbortSignal): Promise<void> => {
    waits.push(ms);
    await systemClock.sleep(ms >= longMs ? ms : 1, signal);
  };
  return { clock: { ...systemClock, sleep }, waits };
}

/** A link that keeps what it hears, and is ended with the test. */
function link(change: Partial<LinkDeps> = {}) {
  const heard: GoodMessage[] = [];
  const takeovers: string[] = [];
  let uplink: Uplink | undefined;
  let ups = 0;
  const stop = new AbortController();
  const { clock, waits } = impatientClock();
  const { bootId = BOOT } = change;
  const running = keepLink(
    {
      ...AT,
      url: broker.url,
      username: undefined,
      password: undefined,
      bootId,
      clock,
      random: () => 0.5,
      newSession: () => `session-${ups}`,
      log: keptLog().log,
      backoff: { firstMs: 500, capMs: 30_000 },
      isOwnBoot: (boot) => boot === bootId,
      onMessage: (message) => void heard.push(message),
      onBadMessage: () => undefined,
      onTakeover: (boot) => void takeovers.push(boot),
      whileUp: async (up, signal) => {
        uplink = up;
        ups += 1;
        await new Promise((resolve) => signal.addEventListener('abort', resolve, { once: true }));
        uplink = undefined;
      },
      ...change,
    },
    stop.signal,
  );
  const end = async (): Promise<void> => {
    stop.abort();
    await running;
  };
  cleanups.push(end);
  const isUp = (times = 1) =>
    vi.waitFor(
      () => {
        if (uplink === undefined || ups < times) throw new Error('the link is not up');
        return uplink;
      },
      { timeout: 10_000, interval: 5 },
    );
  return { heard, takeovers, waits, end, isUp, ups: () => ups };
}

/** Someone else at the broker, who keeps the statuses of the device. */
async function watcher(): Promise<{ connection: MqttConnection; statuses: DeviceStatus[] }> {
  const statuses: DeviceStatus[] = [];
  const connection = await connectMqtt({
    url: broker.url,
    clientId: 'watcher',
    keepaliveS: 30,
    connectTimeoutMs: 5_000,
    publishTimeoutMs: 5_000,
    onMessage: (topic, bytes) => {
      const message = decodeMessage(topic, bytes);
      if (message.ok && message.kind === 'status') statuses.push(message.payload);
    },
  });
  cleanups.push(() => connection.close());
  await connection.subscribe([topicOf('status', AT)]);
  return { connection, statuses };
}

const desired = (n: number) => encodeMessage('fleetDesired', { version: { epoch: 1, n } });

describe('presence', () => {
  test('is retained: who comes later sees the device online', async () => {
    await link().isUp();
    const { statuses } = await watcher();
    await expect
      .poll(() => statuses)
      .toMatchObject([{ state: 'online', bootId: BOOT, session: 'session-0' }]);
  });

  test('ends with the will of the session when the line is cut, and begins again with another session', async () => {
    const { statuses } = await watcher();
    const { isUp } = link();
    await isUp();
    broker.cut(AT.device);
    await isUp(2);
    await expect
      .poll(() => statuses.map(({ state, session }) => `${state} ${session}`))
      .toEqual(['online session-0', 'offline session-0', 'online session-1']);
  });

  test('ends with one word when the agent stops in order, and no will', async () => {
    const { connection, statuses } = await watcher();
    const { isUp, end } = link();
    await isUp();
    await end();
    const marker = { state: 'online', session: 'marker', bootId: OTHER_BOOT, ts: 1 } as const;
    await connection.publish(topicOf('status', AT), encodeMessage('status', marker));
    await expect.poll(() => statuses.at(-1)?.session).toBe('marker');
    expect(statuses.map(({ state }) => state)).toEqual(['online', 'offline', 'online']);
  });
});

test('subscriptions are made again with a broker that has forgotten them', async () => {
  const { isUp, heard } = link({
    whileUp: async (up, signal) => {
      await up.followGroups(['alpha']);
      await up.publish({
        kind: 'groupDesired',
        parameters: { fleet: 'lab', group: 'alpha' },
        payload: { version: { epoch: 1, n: 1 } },
      });
      await new Promise((resolve) => signal.addEventListener('abort', resolve, { once: true }));
    },
  });
  await expect.poll(() => heard.filter(({ kind }) => kind === 'groupDesired')).toHaveLength(1);
  const { port } = broker;
  await broker[Symbol.asyncDispose]();
  broker = await startBroker(port);
  await expect
    .poll(() => heard.filter(({ kind }) => kind === 'groupDesired'), { timeout: 10_000 })
    .toHaveLength(2);
  const { connection } = await watcher();
  await connection.publish(topicOf('fleetDesired', AT), desired(1));
  await expect.poll(() => heard.filter(({ kind }) => kind === 'fleetDesired')).toHaveLength(1);
  expect(isUp).toBeDefined();
});

test('groups are followed and left', async () => {
  const { isUp, heard } = link();
  const uplink = await isUp();
  const { connection } = await watcher();
  const publish = (group: string, n: number) =>
    connection.publish(topicOf('groupDesired', { fleet: 'lab', group }), desired(n));
  await uplink.followGroups(['alpha', 'beta']);
  await publish('alpha', 1);
  await uplink.followGroups(['beta']);
  await publish('alpha', 2);
  await publish('beta', 3);
  await expect.poll(() => heard.length).toBe(2);
  expect(heard.map(({ payload }) => payload)).toMatchObject([{ version: { n: 1 } }, { version: { n: 3 } }]);
});

test('the wait before another try grows, from the first one on, up to its cap', async () => {
  const { port } = broker;
  await broker[Symbol.asyncDispose]();
  const { waits } = link();
  await expect.poll(() => waits.length, { timeout: 10_000 }).toBeGreaterThan(9);
  expect(waits.slice(0, 9)).toEqual([250, 500, 1_000, 2_000, 4_000, 8_000, 15_000, 15_000, 15_000]);
  broker = await startBroker(port);
});

test('a connection that was short does not make the next wait short again', async () => {
  const { waits, isUp } = link();
  for (const times of [1, 2, 3]) {
    await isUp(times);
    broker.cut(AT.device);
    await expect.poll(() => waits.length).toBe(times);
  }
  expect(waits).toEqual([250, 500, 1_000]);
});

describe('another agent with the same identity', () => {
  test('is noticed by its status, told once, and not fought', async () => {
    const { isUp, takeovers, waits, ups } = link();
    await isUp();
    const { connection } = await watcher();
    const status = encodeMessage('status', { state: 'online', session: 'twin', bootId: OTHER_BOOT, ts: 1 });
    for (const _ of [1, 2]) await connection.publish(topicOf('status', AT), status);
    await expect.poll(() => takeovers).toEqual([OTHER_BOOT]);
    broker.cut(AT.device);
    await expect.poll(() => waits).toEqual([450_000]);
    expect(ups()).toBe(1);
  });

  test('is noticed where the broker lets only one of them in at a time', async () => {
    const first = link();
    await first.isUp();
    const second = link({ bootId: OTHER_BOOT, isOwnBoot: (boot) => boot === OTHER_BOOT });
    await expect.poll(() => first.takeovers, { timeout: 10_000 }).toEqual([OTHER_BOOT]);
    await expect
      .poll(() => [...first.waits, ...second.waits].some((ms) => ms >= 300_000), { timeout: 10_000 })
      .toBe(true);
  });

  test('is not seen in the status that a state folder which is gone has left', async () => {
    const { connection } = await watcher();
    const left = encodeMessage('status', { state: 'offline', session: 'old', bootId: OTHER_BOOT, ts: 1 });
    await connection.publish(topicOf('status', AT), left, { retain: true });
    const { isUp, takeovers, heard } = link();
    await isUp();
    await connection.publish(topicOf('fleetDesired', AT), desired(1));
    await expect.poll(() => heard.length).toBe(1);
    expect(takeovers).toEqual([]);
  });
});

test('a stop while the broker does not answer ends at once', async () => {
  const stop = new AbortController();
  const arrived = Promise.withResolvers<void>();
  const silent = createServer((socket) => {
    socket.on('error', () => undefined);
    cleanups.push(async () => void socket.destroy());
    arrived.resolve();
  });
  await new Promise<void>((resolve) => silent.listen(0, '127.0.0.1', () => resolve()));
  cleanups.push(async () => void silent.close());
  const address = silent.address();
  const port = typeof address === 'object' ? address?.port : undefined;
  const running = keepLink(
    {
      ...AT,
      url: `mqtt://127.0.0.1:${port}`,
      username: undefined,
      password: undefined,
      bootId: BOOT,
      clock: systemClock,
      random: () => 0,
      newSession: () => 'session-1',
      log: keptLog().log,
      backoff: { firstMs: 1, capMs: 1 },
      isOwnBoot: () => true,
      onMessage: () => undefined,
      onBadMessage: () => undefined,
      onTakeover: () => undefined,
      whileUp: async () => undefined,
    },
    stop.signal,
  );
  await arrived.promise;
  const startedMs = systemClock.monoMs();
  stop.abort();
  await running;
  expect(systemClock.monoMs() - startedMs).toBeLessThan(2_000);
});
