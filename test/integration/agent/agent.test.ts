import { cp, mkdir, readFile, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import sharp from 'sharp';
import { expect, test } from 'vitest';
import { stoppedStatus } from '../../../agent/status.ts';
import { topicOf } from '../../../shared/protocol/topics.ts';
import { startBroker, stateFolder } from '../../support/agent.ts';
import { AT, ask, connectController, eventually, runAgent, statusOf } from '../../support/agent-run.ts';
import { bundledFamily } from '../../support/bundled.ts';

/** Nothing listens there. */
const NOWHERE = 'mqtt://127.0.0.1:1';

test('windows and the boot are published, and forgotten only once they are acknowledged', async () => {
  await using folder = await stateFolder();
  await using broker = await startBroker();
  await using controller = await connectController(broker.url);
  {
    await using _agent = await runAgent(folder.path, broker.url);
    await eventually(() => expect(controller.windows.length).toBeGreaterThan(2));
    expect(controller.events.map(({ seq, body }) => [seq, body.kind])).toContainEqual([1, 'boot']);
    const seqs = controller.windows.map(({ seq }) => seq);
    expect(new Set(seqs).size).toBe(seqs.length);
    const pending = () => statusOf(folder.path);
    expect(await pending()).toMatchObject({ telemetry: { pending: expect.toSatisfy((n) => n > 2) } });
    await controller.acknowledgeAll();
    await eventually(async () => expect(await pending()).toMatchObject({ telemetry: { pending: 0 } }));
    const inferences = controller.windows
      .flatMap(({ body }) => body.points)
      .reduce((sum, point) => sum + point.inferences, 0);
    expect(inferences).toBeGreaterThan(0);
    const bodies = controller.windows.map(({ body }) => body);
    expect(bodies.some(({ gauges }) => (gauges?.rssBytes?.mean ?? 0) > 2 ** 20)).toBe(true);
    expect(bodies[0]).toMatchObject({ drifting: false, outboxRecords: expect.any(Number) });
    const [point] = bodies.flatMap(({ points }) => points).filter((each) => each.inferences > 0);
    expect(point).toMatchObject({
      timeMs: expect.toSatisfy((ms) => ms > 0),
      slowdown: { count: point?.inferences },
    });
  }
  // The last window, cut by the stop, was sent and acknowledged too.
  expect(stoppedStatus(folder.path)).toMatchObject({
    running: false,
    device: AT.device,
    telemetry: { pending: 0 },
  });
});

test('a budget changes the level within 2 s and is reported with its version; malformed messages are counted', async () => {
  await using folder = await stateFolder();
  await using broker = await startBroker();
  await using controller = await connectController(broker.url);
  await using _agent = await runAgent(folder.path, broker.url);
  await controller.acknowledgeAll();
  const levels = () => controller.windows.at(-1)?.body.points.map(({ level }) => level);
  const top = (await bundledFamily()).manifest.levels.length - 1;
  await eventually(() => expect(levels()).toEqual([top]));

  await eventually(() => expect(controller.reports.length).toBeGreaterThan(0));
  // On a busy machine the cheapest level may have been measured slower than the next one.
  const latencies = controller.reports[0]?.operatingPoints.map(({ latencyMs }) => latencyMs) ?? [];
  const isFast = (level: number): boolean => (latencies[level] ?? Number.NaN) <= 1.5 * Math.min(...latencies);

  const version = { epoch: 1, n: 4 };
  const sentMs = performance.now();
  await controller.send('fleetDesired', AT, { version, requirement: { latencyMs: 0.001, speedW: 5 } });
  await eventually(() => expect(levels()?.every(isFast)).toBe(true));
  expect(performance.now() - sentMs).toBeLessThan(2_000);
  await eventually(() =>
    expect(controller.reports.at(-1)).toMatchObject({
      applied: { fleet: version },
      requirement: { latencyMs: 0.001 },
      sources: { latencyMs: 'fleet', priority: 'configuration' },
      refused: [{ scope: 'fleet', field: 'speedW' }],
    }),
  );
  await eventually(() => expect(controller.events.map(({ body }) => body.kind)).toContain('violation'));
  expect(await ask(folder.path, { kind: 'explain', limit: 20 })).toMatchObject({
    lines: expect.arrayContaining([expect.stringMatching(/switch cpu\/\d -> cpu\/\d/)]),
    explanation: {
      decisions: expect.arrayContaining([
        expect.objectContaining({
          kind: 'switch',
          cause: 'gave-way',
          requirement: expect.objectContaining({ latencyMs: 0.001 }),
        }),
      ]),
    },
  });

  const group = { fleet: AT.fleet, group: 'alpha' };
  await controller.send('desired', AT, { version, groups: [{ name: 'alpha', priority: 1 }] });
  await controller.send('groupDesired', group, { version, requirement: { latencyMs: 10_000 } });
  await eventually(() => expect(levels()).toEqual([top]));
  expect(controller.windows.at(-1)?.body.desired).toEqual(version);

  const topics = [
    topicOf('controllerStatus', AT),
    topicOf('fleetDesired', AT),
    topicOf('desired', AT),
    topicOf('groupDesired', group),
    topicOf('ack', AT),
    topicOf('status', AT),
    topicOf('command', { ...AT, id: '0000cccc' }),
  ];
  for (const topic of topics) {
    await controller.sendRaw(topic, '{"half":');
    await controller.sendRaw(topic, '[]');
    await controller.sendRaw(topic, '{"v": 2}');
    await controller.sendRaw(topic, 'x'.repeat(130 * 1_024));
  }
  const each = topics.length;
  const rejected = { 'not-json': each, 'not-of-schema': each, 'wrong-version': each, 'too-large': each };
  await eventually(() => expect(controller.reports.at(-1)?.rejected).toEqual(rejected));
  await controller.send('command', { ...AT, id: '0000dddd' }, { v: 1, kind: 'ping', expiresAt: 8e15 });
  await eventually(() => expect(controller.results).toMatchObject([{ state: 'done' }]));
});

test('without a broker it runs and records, and a second agent on its folder is refused', async () => {
  await using folder = await stateFolder();
  {
    await using _agent = await runAgent(folder.path, NOWHERE);
    await expect(runAgent(folder.path, NOWHERE)).rejects.toMatchObject({ code: 'conflict' });
    await eventually(async () =>
      expect(await statusOf(folder.path)).toMatchObject({
        running: true,
        link: { connected: false },
        telemetry: { windows: expect.toSatisfy((n) => n > 1), lost: 0 },
      }),
    );
  }
  expect(stoppedStatus(folder.path)).toMatchObject({ telemetry: { events: 1, dropped: 0 } });
});

test('a broken family is refused and the last good one runs; an unreadable image is counted and the rest goes on', async () => {
  await using folder = await stateFolder();
  const family = join(folder.path, 'offered');
  const images = join(folder.path, 'images');
  await cp((await bundledFamily()).folder, family, { recursive: true });
  await mkdir(images);
  await writeFile(join(images, 'a.png'), 'no image');
  for (const name of ['b.png', 'c.png']) {
    const grey = { width: 28, height: 28, channels: 3, background: 'grey' } as const;
    await sharp({ create: grey }).png().toFile(join(images, name));
  }
  const state = join(folder.path, 'state');
  await (await runAgent(state, NOWHERE, { family, source: images }))[Symbol.asyncDispose]();
  const manifest = JSON.parse(await readFile(join(family, 'family.json'), 'utf8'));
  await writeFile(join(family, 'family.json'), JSON.stringify({ ...manifest, labels: ['one'] }));

  await using broker = await startBroker();
  await using controller = await connectController(broker.url);
  await using _agent = await runAgent(state, broker.url, { family, source: images });
  await eventually(() => expect(controller.reports.length).toBeGreaterThan(0));
  expect(controller.reports[0]?.refused).toMatchObject([
    { scope: 'configuration', field: 'family', reason: expect.stringContaining('family.json') },
  ]);
  expect(controller.reports[0]?.family.name).toBe(manifest.name);
  await eventually(() => {
    const bodies = controller.windows.map(({ body }) => body);
    expect(bodies.reduce((sum, { unreadable }) => sum + unreadable, 0)).toBeGreaterThan(1);
    expect(bodies.flatMap(({ points }) => points).length).toBeGreaterThan(1);
  });
  const faults = controller.events.flatMap(({ body }) => (body.kind === 'fault' ? [body.what] : []));
  expect(faults).toContain('family refused');
  await controller.acknowledgeAll();
});
