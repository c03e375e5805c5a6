import { expect, test } from 'vitest';
import type { ControllerState, DeviceDetail, EventRow } from '../../../controller/api/schemas.ts';
import { startBroker } from '../../../controller/broker/broker.ts';
import { connectMqtt } from '../../../shared/mqtt.ts';
import { type Decoded, decodeMessage } from '../../../shared/protocol/messages.ts';
import { topicOf } from '../../../shared/protocol/topics.ts';
import {
  configFor,
  connectDevice,
  eventually,
  FLEET,
  runController,
  silentLog,
  type TestController,
  windowOf,
} from '../../support/controller.ts';
import { temporaryFolder } from '../../support/temp.ts';

/** Listens to everything of the controller, and keeps it. */
async function listen(url: string) {
  const heard: Decoded[] = [];
  const connection = await connectMqtt({
    url,
    clientId: `listener-${heard.length}`,
    keepaliveS: 30,
    connectTimeoutMs: 5_000,
    publishTimeoutMs: 5_000,
    onMessage: (topic, bytes) => {
      heard.push(decodeMessage(topic, bytes));
    },
  });
  const any = { fleet: FLEET, device: '+', group: '+' };
  const kinds = ['controllerStatus', 'fleetDesired', 'groupDesired', 'desired'] as const;
  await connection.subscribe(kinds.map((kind) => topicOf(kind, any)));
  return { heard, [Symbol.asyncDispose]: () => connection.close() };
}

function kindsOf(heard: readonly Decoded[]): string[] {
  return [...new Set(heard.map((message) => (message.ok ? message.kind : message.reason)))].sort();
}

async function detail(controller: TestController, id: string): Promise<DeviceDetail> {
  const { status, body } = await controller.ask('GET', `/v1/devices/${id}`);
  expect(status).toBe(200);
  return body as DeviceDetail;
}

async function online(controller: TestController): Promise<void> {
  await eventually(async () => {
    const { body } = await controller.ask('GET', '/v1/status');
    expect((body as ControllerState).mqtt.connected).toBe(true);
  });
}

test('a broker that comes back empty gets every desired document and the presence again', async () => {
  await using folder = await temporaryFolder();
  let broker = await startBroker({ host: '127.0.0.1', port: 0, log: silentLog });
  const { port, url } = broker;
  const external = { ...configFor(folder.path).broker, url };
  await using controller = await runController(folder.path, { config: { broker: external } });
  await online(controller);
  const device = await connectDevice({ url, id: 'jetson-1' });
  await device.sendWindows(windowOf());
  await device.acknowledged(1);
  await eventually(() => expect(device.desired).not.toHaveLength(0));
  await controller.ask('PUT', '/v1/groups/line-a', { members: ['jetson-1'] });
  await controller.ask('PATCH', '/v1/budgets', { scope: { kind: 'fleet' }, set: { latencyMs: 30 } });
  await controller.ask('PATCH', '/v1/budgets', {
    scope: { kind: 'group', name: 'line-a' },
    set: { latencyMs: 20 },
  });
  await broker.close();
  await device.connection.ended;

  broker = await startBroker({ host: '127.0.0.1', port, log: silentLog });
  await using _again = broker;
  await online(controller);
  await using listener = await listen(url);
  await eventually(() =>
    expect(kindsOf(listener.heard)).toEqual(['controllerStatus', 'desired', 'fleetDesired', 'groupDesired']),
  );
});

test('the controller says that it is online, and that it leaves', async () => {
  await using folder = await temporaryFolder();
  await using broker = await startBroker({ host: '127.0.0.1', port: 0, log: silentLog });
  const external = { ...configFor(folder.path).broker, url: broker.url };
  const controller = await runController(folder.path, { config: { broker: external } });
  await online(controller);
  await using listener = await listen(broker.url);
  await eventually(() => expect(listener.heard).toMatchObject([{ payload: { state: 'online' } }]));
  await controller[Symbol.asyncDispose]();
  await eventually(() => expect(listener.heard.at(-1)).toMatchObject({ payload: { state: 'offline' } }));
});

test('a late will of an older session does not make a device offline', async () => {
  await using folder = await temporaryFolder();
  await using controller = await runController(folder.path);
  await online(controller);
  await using device = await connectDevice({ url: controller.controller.mqttUrl, id: 'jetson-1' });
  await device.status('online', 'first');
  await device.status('online', 'second');
  await device.status('offline', 'first');
  await device.sendWindows(windowOf());
  await device.acknowledged(1);
  expect((await detail(controller, 'jetson-1')).online).toBe(true);
  await device.status('offline', 'second');
  await eventually(async () => expect((await detail(controller, 'jetson-1')).online).toBe(false));
});

test('a device whose connection breaks becomes offline by its will', async () => {
  await using folder = await temporaryFolder();
  await using controller = await runController(folder.path);
  await online(controller);
  const url = controller.controller.mqttUrl;
  await using device = await connectDevice({ url, id: 'jetson-1' });
  await device.status('online');
  await eventually(async () => expect((await detail(controller, 'jetson-1')).online).toBe(true));
  // Another connection with the same client id: the broker ends the first one, as if it had broken.
  await using thief = await connectMqtt({
    url,
    clientId: `${device.id}-${device.bootId}`,
    keepaliveS: 30,
    connectTimeoutMs: 5_000,
    publishTimeoutMs: 5_000,
    onMessage: () => undefined,
  });
  expect(thief).toBeDefined();
  await eventually(async () => expect((await detail(controller, 'jetson-1')).online).toBe(false));
});

test('two programs with one identity raise one alarm', async () => {
  await using folder = await temporaryFolder();
  await using controller = await runController(folder.path);
  await online(controller);
  const url = controller.controller.mqttUrl;
  await using a = await connectDevice({ url, id: 'jetson-1', bootId: '0000aaaa-0001', session: 'a' });
  await using b = await connectDevice({ url, id: 'jetson-1', bootId: '0000bbbb-0001', session: 'b' });
  await a.status('online');
  await b.status('online');
  await eventually(async () => expect((await detail(controller, 'jetson-1')).identityConflict).toBe(false));
  await a.status('online');
  await b.status('online');
  await eventually(async () => expect((await detail(controller, 'jetson-1')).identityConflict).toBe(true));
  await eventually(async () => {
    const { body } = await controller.ask('GET', '/v1/events?kind=alarm&device=jetson-1');
    expect((body as { events: EventRow[] }).events).toMatchObject([{ body: { what: 'identity conflict' } }]);
  });
});
