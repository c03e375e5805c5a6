import { expect, test } from 'vitest';
import type { ControllerState, TelemetryAnswer } from '../../../controller/api/schemas.ts';
import { topicOf } from '../../../shared/protocol/topics.ts';
import {
  connectDevice,
  eventOf,
  eventually,
  FLEET,
  pointOf,
  runController,
  type TestController,
  windowOf,
} from '../../support/controller.ts';
import { temporaryFolder } from '../../support/temp.ts';

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
  await device.publish(telemetry, JSON.stringify({ ...windowOf(), v: 2 }));
  await device.publish(telemetry, JSON.stringify(windowOf({ device: 'jetson-2' })));
  await device.publish(telemetry, JSON.stringify({ v: 1 }));
  await device.publish(
    telemetry,
    JSON.stringify(windowOf({ body: { points: [pointOf([1], { latencySketch: '////' })] } })),
  );
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

test('the history survives a restart and answers with merged percentiles and gaps', async () => {
  await using folder = await temporaryFolder();
  let token = '';
  {
    await using first = await runController(folder.path);
    token = first.token;
    await connected(first);
    await using device = await connectDevice({ url: first.controller.mqttUrl, id: 'jetson-1' });
    await device.sendWindows(
      windowOf({ seq: 1, ts: 1_000_500, body: { points: [pointOf([10, 10, 10])] } }),
      windowOf({ seq: 2, ts: 1_003_500, body: { points: [pointOf([90], { level: 2 })] } }),
    );
    await device.acknowledged(2);
  }
  await using second = await runController(folder.path, { token });
  expect(second.controller.token).toBeUndefined();
  const query = '/v1/telemetry/query?metric=latencyMs&since=1000000&until=1005000';
  const p100 = (await second.ask('GET', `${query}&aggregate=p100`)).body as TelemetryAnswer;
  expect(p100.series).toEqual([{ key: '', points: [{ ts: 1_000_000, value: 90, count: 4 }] }]);
  const buckets = (await second.ask('GET', `${query}&bucketMs=1000`)).body as TelemetryAnswer;
  expect(buckets.series[0]?.points).toEqual([
    { ts: 1_000_000, value: 10, count: 3 },
    { ts: 1_003_000, value: 90, count: 1 },
  ]);
  const share = (
    await second.ask('GET', '/v1/telemetry/query?metric=share&by=level&since=1000000&until=1005000')
  ).body as TelemetryAnswer;
  expect(share.series.map(({ key, points }) => [key, points[0]?.value])).toEqual([
    ['0', 0.75],
    ['2', 0.25],
  ]);
});

test('a question that makes no sense is refused with what would', async () => {
  await using folder = await temporaryFolder();
  await using controller = await runController(folder.path);
  const answer = await controller.ask('GET', '/v1/telemetry/query?metric=accuracy&since=0&aggregate=p99');
  expect(answer.status).toBe(400);
  expect(answer.body).toMatchObject({
    error: { code: 'usage', message: expect.stringContaining('mean, min, max') },
  });
});
