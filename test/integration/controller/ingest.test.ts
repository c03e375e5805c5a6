import { expect, test } from 'vitest';
import type { ControllerState, DeviceDetail } from '../../../controller/api/schemas.ts';
import { startBroker } from '../../../controller/broker/broker.ts';
import { topicOf } from '../../../shared/protocol/topics.ts';
import {
  configFor,
  connectDevice,
  eventOf,
  eventually,
  FLEET,
  runController,
  silentLog,
  type TestController,
  windowOf,
} from '../../support/controller.ts';
import { temporaryFolder } from '../../support/temp.ts';

async function stateOf(controller: TestController): Promise<ControllerState> {
  const { body } = await controller.ask('GET', '/v1/status');
  return body as ControllerState;
}

test('windows and events come through the embedded broker and through one that stands apart', async () => {
  await using folder = await temporaryFolder();
  await using apart = await startBroker({ host: '127.0.0.1', port: 0, log: silentLog });
  const { broker } = configFor(folder.path);
  for (const url of ['', apart.url]) {
    await using controller = await runController(`${folder.path}/${url === '' ? 'own' : 'apart'}`, {
      config: { broker: { ...broker, url } },
    });
    await eventually(async () => expect((await stateOf(controller)).mqtt.connected).toBe(true));
    await using device = await connectDevice({ url: controller.controller.mqttUrl, id: 'jetson-1' });
    await device.sendWindows(windowOf({ seq: 1 }), windowOf({ seq: 2 }));
    await device.sendEvent(eventOf({ seq: 3 }));
    for (const seq of [1, 2, 3]) await device.acknowledged(seq);
    expect((await stateOf(controller)).ingest).toMatchObject({ windows: 2, events: 1, duplicates: 0 });
  }
});

test('a flood of messages that nobody can read does not keep good ones out', async () => {
  await using folder = await temporaryFolder();
  await using controller = await runController(folder.path);
  const { mqttUrl: url } = controller.controller;
  await using bad = await connectDevice({ url, id: 'broken' });
  await using good = await connectDevice({ url, id: 'good' });
  const topic = topicOf('telemetry', { fleet: FLEET, device: 'broken' });
  const flood = Array.from({ length: 3_000 }, (_, each) =>
    bad.publish(topic, each % 2 === 0 ? '{"v":1' : '[{"v":1}]'),
  );
  for (let seq = 1; seq <= 20; seq += 1) await good.sendWindows(windowOf({ device: 'good', seq }));
  for (let seq = 1; seq <= 20; seq += 1) await good.acknowledged(seq);
  await Promise.all(flood);
  await eventually(async () => {
    const { ingest, devices } = await stateOf(controller);
    const dropped = Object.values(ingest.rejected).reduce((sum, count) => sum + count, 0);
    expect({ dropped, windows: ingest.windows, known: devices.known }).toEqual({
      ...{ dropped: 3_000, windows: 20 },
      // Whoever sends only rubbish is no device.
      known: 1,
    });
  });
});

test('a device whose records are acknowledged is known after a restart, however it ended', async () => {
  await using folder = await temporaryFolder();
  let token = '';
  {
    await using controller = await runController(folder.path);
    token = controller.token;
    await using device = await connectDevice({ url: controller.controller.mqttUrl, id: 'jetson-1' });
    await device.sendWindows(windowOf());
    await device.acknowledged(1);
  }
  await using controller = await runController(folder.path, { token });
  const { status, body } = await controller.ask('GET', '/v1/devices/jetson-1');
  expect(status).toBe(200);
  expect((body as DeviceDetail).latest).toMatchObject({ inferences: 3 });
  // What was left to be summed up is made up for at the start.
  await eventually(async () => {
    const { body: history } = await controller.ask('GET', '/v1/history/status');
    expect(history).toMatchObject({ windows: 1, lagRecords: 0 });
  });
});
