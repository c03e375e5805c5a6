import { expect, test } from 'vitest';
import { bodyOf, createWorld, pointOf } from './query-world.ts';

const T0 = Date.parse('2026-10-20T00:00Z');
const FAULT = { kind: 'fault', what: 'camera', reason: 'No frame' } as const;

test('the newest window of each device in a line, for those that have one', () => {
  using world = createWorld();
  const points = [pointOf([10, 20, 30], { misses: 1 }), pointOf([5], { pe: 'gpu', level: 2, correct: 0 })];
  const gauges = { tempC: { mean: 51, min: 50, max: 52, ms: 10_000 } };
  world.add(
    {
      device: 'a',
      at: T0 + 10_000,
      body: bodyOf({ points, gauges, drifting: true, outboxAgeMs: 4 }),
      flags: 1,
    },
    { device: 'a', at: T0, body: bodyOf() },
    { device: 'constructor', at: T0, body: bodyOf({ points: [] }) },
  );
  const latest = world.core.latest(['a', 'constructor', 'unknown']);
  expect(Object.keys(latest)).toEqual(['a', 'constructor']);
  expect(latest['a']).toEqual({
    ts: T0 + 15_000,
    durationMs: 10_000,
    inferences: 4,
    misses: 1,
    switches: 0,
    sheds: 0,
    level: 0,
    pe: 'cpu',
    latencyMeanMs: 65 / 4,
    latencyP95Ms: expect.closeTo(20, 0),
    accuracy: 0.75,
    slowdown: 1,
    family: 'f'.repeat(64),
    tempC: 51,
    outboxAgeMs: 4,
    drifting: true,
    redated: true,
    requirement: { latencyMs: 50 },
  });
  expect(latest['constructor']).toMatchObject({ level: null, latencyMeanMs: null, accuracy: null });
});

test('events are found by device, kind, time and text, newest first', () => {
  using world = createWorld();
  world.addEvent('a', T0, FAULT);
  world.addEvent('b', T0 + 1, { ...FAULT, what: 'sensor' });
  world.addEvent('a', T0 + 2, { kind: 'boot', version: '1' });
  const all = { devices: undefined, since: 0, until: T0 + 10, limit: 10 };
  const found = (range: object) => world.core.events({ ...all, ...range }).map(({ ts }) => ts - T0);
  expect(found({})).toEqual([2, 1, 0]);
  expect(found({ devices: ['a'] })).toEqual([2, 0]);
  expect(found({ devices: ['a', 'b'], kind: 'fault' })).toEqual([1, 0]);
  expect(found({ contains: 'no FRAME' })).toEqual([1, 0]);
  expect(found({ contains: 'Camera' })).toEqual([0]);
  expect(found({ contains: '%' })).toEqual([]);
  expect(found({ limit: 1, until: T0 + 2 })).toEqual([1]);
  expect(found({ devices: [] })).toEqual([]);
  expect(world.core.events({ ...all, limit: 1, until: T0 + 1 })).toEqual([
    { device: 'a', ts: T0, kind: 'fault', body: FAULT },
  ]);
});

test('a tail begins now, and gives everything after that once', () => {
  using world = createWorld();
  const range = { devices: undefined, what: 'all', limit: 2 } as const;
  world.add({ device: 'a', at: T0, body: bodyOf() });
  const start = world.core.tail({ ...range, after: undefined });
  expect(start.lines).toEqual([]);
  for (const index of [1, 2, 3])
    world.add({ device: index === 2 ? 'b' : 'a', at: T0 + index, body: bodyOf() });
  world.addEvent('a', T0 + 2, FAULT);
  const first = world.core.tail({ ...range, after: start.cursor });
  expect(first.lines.map(({ what, device }) => `${what} ${device}`)).toEqual([
    'event a',
    'window a',
    'window b',
  ]);
  expect(first.isMore).toBe(true);
  const second = world.core.tail({ ...range, after: first.cursor });
  expect(second).toMatchObject({ isMore: false, lines: [{ what: 'window', device: 'a' }] });
  expect(world.core.tail({ ...range, after: second.cursor }).lines).toEqual([]);
  const ofB = world.core.tail({ ...range, devices: ['b'], after: start.cursor });
  expect(ofB.lines).toHaveLength(1);
  expect(ofB.cursor).toEqual(second.cursor);
});
