import { join } from 'node:path';
import { expect, test } from 'vitest';
import type { DeviceDetail, EventRow, TelemetryAnswer } from '../../../controller/api/schemas.ts';
import { openHistory } from '../../../controller/history/history.ts';
import { MIGRATIONS } from '../../../controller/history/migrations.ts';
import type { Payload } from '../../../shared/protocol/messages.ts';
import { topicOf } from '../../../shared/protocol/topics.ts';
import { openSqlite } from '../../../shared/sqlite.ts';
import {
  connectDevice,
  eventOf,
  eventually,
  FLEET,
  runController,
  windowOf,
} from '../../support/controller.ts';
import { temporaryFolder } from '../../support/temp.ts';

test('every limit that is stated reaches the device, and one that is cleared leaves it', async () => {
  await using folder = await temporaryFolder();
  await using controller = await runController(folder.path);
  await using device = await connectDevice({ url: controller.controller.mqttUrl, id: 'jetson-1' });
  await device.status('online');
  await device.sendWindows(windowOf());
  await device.acknowledged(1);
  const scope = { kind: 'device', device: 'jetson-1' };
  const set = {
    ...{ latencyMs: 20, missShare: 0.02, accuracyFloor: 0.9 },
    ...{ powerW: 12, energyJ: 0.05, tempC: 80, price: 0.02, priority: 'accuracy,latency' },
  };
  expect(await controller.ask('PATCH', '/v1/budgets', { scope, set })).toMatchObject({ status: 200 });
  await eventually(() => expect(device.desired.at(-1)?.requirement).toEqual(set));
  await controller.ask('PATCH', '/v1/budgets', { scope, clear: ['powerW', 'priority'] });
  const { powerW: _power, priority: _priority, ...left } = set;
  await eventually(() => expect(device.desired.at(-1)?.requirement).toEqual(left));
});

test('shed frames, prices and new events are kept and answered; windows without them count as none', async () => {
  await using folder = await temporaryFolder();
  await using controller = await runController(folder.path);
  await using device = await connectDevice({ url: controller.controller.mqttUrl, id: 'jetson-1' });
  await device.status('online');
  const ts = 1_700_000_000_000;
  await device.sendWindows(
    windowOf({ seq: 1, ts }),
    windowOf({ seq: 2, ts: ts + 10_000, body: { sheds: 3, price: 0.5 } }),
    windowOf({ seq: 3, ts: ts + 20_000, body: { sheds: 4, price: 1.5, requirement: { powerW: 7 } } }),
  );
  const shed = { kind: 'shed', frames: 7, reason: 'burst', cause: 'too-late', timeLeftMs: 1 } as const;
  await device.sendEvent(eventOf({ seq: 4, ts: ts + 20_000, body: shed }));
  for (const seq of [1, 2, 3, 4]) await device.acknowledged(seq);
  const metricOf = async (metric: string) => {
    const { body } = await controller.ask('GET', `/v1/telemetry/query?metric=${metric}&since=${ts}`);
    return (body as TelemetryAnswer).series[0]?.points[0]?.value;
  };
  expect([await metricOf('sheds'), await metricOf('price')]).toEqual([7, 1]);
  const { body: events } = await controller.ask('GET', '/v1/events?device=jetson-1&kind=shed');
  expect((events as { events: EventRow[] }).events.map(({ body }) => body)).toEqual([shed]);
  const { body: detail } = await controller.ask('GET', '/v1/devices/jetson-1');
  expect((detail as DeviceDetail).latest).toMatchObject({ sheds: 4, requirement: { powerW: 7 } });
});

test('explain is asked of the device, and its answer comes back whole', async () => {
  await using folder = await temporaryFolder();
  await using controller = await runController(folder.path);
  await using device = await connectDevice({ url: controller.controller.mqttUrl, id: 'jetson-1' });
  await device.status('online');
  await device.sendWindows(windowOf());
  await device.acknowledged(1);
  const asked = controller.ask('POST', '/v1/devices/jetson-1/commands', {
    ...{ kind: 'explain', timeoutMs: 10_000, at: 1_700_000_000_000, limit: 3 },
  });
  await eventually(() => expect(device.commands).toHaveLength(1));
  const [{ id, command } = { id: '', command: undefined }] = device.commands;
  expect(command).toMatchObject({ kind: 'explain', at: 1_700_000_000_000, limit: 3 });
  expect(command).not.toHaveProperty('timeoutMs');
  const result: Payload<'commandResult'> = {
    ...{ v: 1, state: 'done', ts: 5, lines: ['why'] },
    explanation: { ts: 5, decisions: [] },
    data: { later: [1, { deep: true }] },
  };
  const topic = topicOf('commandResult', { fleet: FLEET, device: 'jetson-1', id });
  await device.publish(topic, JSON.stringify(result));
  expect(await asked).toMatchObject({ status: 200, body: { device: 'jetson-1', result } });
});

test('a history of the first version is taken over with all that it holds', async () => {
  await using folder = await temporaryFolder();
  const path = join(folder.path, 'history.db');
  const old = openSqlite(path, { migrations: MIGRATIONS.slice(0, 1) });
  old
    .prepare(
      `INSERT INTO windows (device, boot_id, seq, ts, clock, duration_ms, family, switches, skipped, unreadable, failed,
         slowdown, requirement)
       VALUES ('jetson-1', '0000aaaa-0001', 1, 5, 'synced', 10000, 'f', 1, 2, 3, 4, 1.5, ?)`,
    )
    .run(JSON.stringify({ latencyMs: 20, priority: 'latency' }));
  old
    .prepare(
      `INSERT INTO events (device, boot_id, seq, ts, clock, kind, body)
       VALUES ('jetson-1', '0000aaaa-0001', 2, 6, 'synced', 'violation', ?)`,
    )
    .run(JSON.stringify({ kind: 'violation', limit: 'accuracy', state: 'begins', reason: 'load' }));
  old.close();
  using history = openHistory(folder.path);
  expect(history.windows.latest('jetson-1')).toMatchObject({
    ...{ switches: 1, failed: 4, slowdown: 1.5, sheds: 0, price: null },
    requirement: { latencyMs: 20, priority: 'latency' },
  });
  const all = { devices: undefined, kind: undefined, since: 0, until: 100, limit: 10 };
  expect(history.events.list(all)).toMatchObject([{ body: { limit: 'accuracy', state: 'begins' } }]);
});
