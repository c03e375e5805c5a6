import { join } from 'node:path';
import { expect, test } from 'vitest';
import type { TelemetryAnswer } from '../../../controller/api/history-schemas.ts';
import type { DeviceDetail, EventRow } from '../../../controller/api/schemas.ts';
import { MIGRATIONS } from '../../../controller/history/migrations.ts';
import { systemClock } from '../../../shared/clock.ts';
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
  const ts = systemClock.now() - 60_000;
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

test('what the first version left is taken over with all that it holds', async () => {
  await using folder = await temporaryFolder();
  // Recent, so that it is still to be kept.
  const ts = Math.floor(systemClock.now()) - 60_000;
  const old = openSqlite(join(folder.path, 'history.db'), { migrations: MIGRATIONS.slice(0, 1) });
  old
    .prepare(
      `INSERT INTO windows (device, boot_id, seq, ts, clock, duration_ms, family, switches, skipped, unreadable, failed,
         slowdown, requirement)
       VALUES ('jetson-1', '0000aaaa-0001', 1, ?, 'synced', 10000, ?, 1, 2, 3, 4, 1.5, ?)`,
    )
    .run(ts, 'f'.repeat(64), JSON.stringify({ latencyMs: 20, priority: 'latency' }));
  old
    .prepare(
      `INSERT INTO events (device, boot_id, seq, ts, clock, kind, body)
       VALUES ('jetson-1', '0000aaaa-0001', 2, ?, 'synced', 'violation', ?)`,
    )
    .run(ts, JSON.stringify({ kind: 'violation', limit: 'accuracy', state: 'begins', reason: 'load' }));
  old.exec(`
    INSERT INTO devices (id, first_seen_ts, last_seen_ts, labels) VALUES ('jetson-1', 1, 2, '{"site":"lab"}');
    INSERT INTO desired VALUES ('device', 'jetson-1', 1700000000, 7, '{"latencyMs":20}', '{}', '[]');
    INSERT INTO meta VALUES ('epoch', '1700000000'), ('n', '7');
  `);
  old.close();
  await using controller = await runController(folder.path);
  const { body: status } = await controller.ask('GET', '/v1/status');
  expect(status).toMatchObject({ epoch: 1_700_000_000, history: { windows: 1, events: 1 } });
  const { body: detail } = await controller.ask('GET', '/v1/devices/jetson-1');
  expect(detail).toMatchObject({
    labels: { site: 'lab' },
    desired: { version: { epoch: 1_700_000_000, n: 7 }, requirement: { latencyMs: 20 } },
    latest: { ts, switches: 1, slowdown: 1.5, requirement: { latencyMs: 20, priority: 'latency' } },
  });
  const { body: events } = await controller.ask('GET', '/v1/events');
  expect((events as { events: EventRow[] }).events).toMatchObject([{ body: { limit: 'accuracy' } }]);
});
