import { expect, test } from 'vitest';
import type { ControllerState } from '../../../controller/api/schemas.ts';
import { topicOf } from '../../../shared/protocol/topics.ts';
import { toWire } from '../../../shared/protocol/window-wire.ts';
import {
  connectDevice,
  eventOf,
  eventually,
  FLEET,
  runController,
  type TestController,
  type WindowOptions,
  windowOf,
} from '../../support/controller.ts';
import { temporaryFolder } from '../../support/temp.ts';

function wireOf(options: WindowOptions = {}) {
  const envelope = windowOf(options);
  return { ...envelope, body: toWire(envelope.body) };
}

async function ingestOf(controller: TestController): Promise<ControllerState['ingest']> {
  const { body } = await controller.ask('GET', '/v1/status');
  return (body as ControllerState).ingest;
}

async function connected(controller: TestController): Promise<void> {
  await eventually(async () => {
    const { body } = await controller.ask('GET', '/v1/status');
    expect((body as ControllerState).mqtt.connected).toBe(true);
  });
}

test('windows and events are stored, then acknowledged with exact ranges', async () => {
  await using folder = await temporaryFolder();
  await using controller = await runController(folder.path);
  await connected(controller);
  await using device = await connectDevice({ url: controller.controller.mqttUrl, id: 'jetson-1' });
  await device.sendWindows(windowOf({ seq: 1 }), windowOf({ seq: 2 }), windowOf({ seq: 5 }));
  await device.sendEvent(eventOf({ seq: 3 }));
  await device.acknowledged(5);
  await device.acknowledged(3);
  const acknowledged = device.acks.flatMap(({ ranges }) => ranges.flat());
  expect(acknowledged).not.toContain(4);
  const { body } = await controller.ask('GET', '/v1/status');
  expect((body as ControllerState).history).toMatchObject({ windows: 3, events: 1 });
  expect((body as ControllerState).devices.known).toBe(1);
});

test('a repeated record is stored once and acknowledged each time', async () => {
  await using folder = await temporaryFolder();
  await using controller = await runController(folder.path);
  await connected(controller);
  await using device = await connectDevice({ url: controller.controller.mqttUrl, id: 'jetson-1' });
  await device.sendWindows(windowOf({ seq: 7 }));
  await device.acknowledged(7);
  await device.sendWindows(windowOf({ seq: 7 }));
  await eventually(() => expect(device.acks).toHaveLength(2));
  expect(await ingestOf(controller)).toMatchObject({ windows: 1, duplicates: 1 });
});

test('what does not fit is counted by reason and stops nothing', async () => {
  await using folder = await temporaryFolder();
  await using controller = await runController(folder.path);
  await connected(controller);
  await using device = await connectDevice({ url: controller.controller.mqttUrl, id: 'jetson-1' });
  const telemetry = topicOf('telemetry', { fleet: FLEET, device: 'jetson-1' });
  await device.publish(telemetry, 'no json');
  await device.publish(telemetry, JSON.stringify({ ...wireOf(), v: 2 }));
  await device.publish(telemetry, JSON.stringify(wireOf({ device: 'jetson-2' })));
  await device.publish(telemetry, JSON.stringify({ v: 1 }));
  const { body, ...envelope } = wireOf();
  const broken = { ...body, p: [{ ...body.p[0], L: [1, 1, 1, 1, '////'] }] };
  await device.publish(telemetry, JSON.stringify({ ...envelope, body: broken }));
  // Too large for the protocol: the broker drops it, and the connection stays.
  await device.publish(telemetry, `"${'x'.repeat(200_000)}"`);
  await device.sendWindows(windowOf({ seq: 9 }));
  await device.acknowledged(9);
  expect((await ingestOf(controller)).rejected).toEqual({
    'not-json': 1,
    'wrong-version': 1,
    'not-of-schema': 3,
  });
});
