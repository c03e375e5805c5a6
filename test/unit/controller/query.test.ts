import { createHash } from 'node:crypto';
import fc from 'fast-check';
import { expect, test } from 'vitest';
import {
  type Metric,
  type TelemetryAnswer,
  type TelemetryQuery,
  TelemetryQuerySchema,
} from '../../../controller/api/history-schemas.ts';
import { bucketAt, edgesOf } from '../../../controller/history/read/buckets.ts';
import { createCollection, MAX_POINTS } from '../../../controller/history/read/collect.ts';
import { ruleOf } from '../../../controller/history/read/metrics.ts';
import { groupKey } from '../../../controller/history/rollup/groups.ts';
import { summaryOfWindow } from '../../../controller/history/summary/summary.ts';
import { parserOf } from '../../../shared/schema.ts';
import { zoneOf } from '../../../shared/zone.ts';
import '../../support/properties.ts';
import {
  bodyOf,
  createWorld,
  DAY_MS,
  distributionOf,
  HOUR_MS,
  MINUTE_MS,
  pointOf,
  type Stored,
  type World,
} from './query-world.ts';

const T0 = Date.parse('2026-10-20T00:00Z');
const NOW = T0 + 30 * DAY_MS;

type Question = Partial<TelemetryQuery> & { metric: Metric };

function ask(world: World, query: Question, devices?: readonly string[], group?: string): TelemetryAnswer {
  return world.core.query({ query: { since: T0, ...query }, devices, group, now: NOW });
}

function valuesOf(answer: TelemetryAnswer): Record<string, [ts: number, value: number, count: number][]> {
  return Object.fromEntries(
    answer.series.map(({ key, points }) => [key, points.map(({ ts, value, count }) => [ts, value, count])]),
  );
}

interface Made extends Stored {
  readonly latenciesMs: readonly number[];
}

const made: fc.Arbitrary<Made> = fc
  .record({
    device: fc.constantFrom('a', 'b', 'c'),
    at: fc.integer({ min: T0, max: T0 + 3 * DAY_MS - 1 }),
    level: fc.integer({ min: 0, max: 2 }),
    latenciesMs: fc.array(fc.double({ min: 0.1, max: 1_000, noNaN: true }), { minLength: 1, maxLength: 12 }),
  })
  .map(({ device, at, level, latenciesMs }) => ({
    device,
    at,
    latenciesMs,
    body: bodyOf({ points: [pointOf(latenciesMs, { level })] }),
  }));

const questions = fc
  .record({
    since: fc.integer({ min: T0 - HOUR_MS, max: T0 + 2 * DAY_MS }),
    lengthMs: fc.integer({ min: 1, max: 3 * DAY_MS }),
    unit: fc.constantFrom(1, MINUTE_MS, HOUR_MS),
    bucket: fc.constantFrom<Partial<TelemetryQuery>>(
      {},
      { bucketMs: 90_000 },
      { bucketMs: HOUR_MS },
      { bucketMs: 5 * HOUR_MS },
      { bucket: 'day' },
      { bucket: 'week' },
    ),
    timeZone: fc.constantFrom('UTC', 'Europe/Berlin', 'Asia/Kolkata'),
    by: fc.constantFrom<TelemetryQuery['by']>(undefined, 'device', 'level'),
    devices: fc.constantFrom<readonly string[] | undefined>(undefined, ['a'], ['a', 'c']),
  })
  .map(({ since, lengthMs, unit, bucket, timeZone, by, devices }) => {
    const start = Math.floor(since / unit) * unit;
    const until = start + Math.ceil(lengthMs / unit) * unit;
    return { devices, query: { ...bucket, since: start, until, timeZone, ...(by ? { by } : {}) } };
  });

interface Wanted {
  readonly query: Omit<TelemetryQuery, 'metric'>;
  readonly devices: readonly string[] | undefined;
}

/** The latencies of every point of the answer, straight from the windows. */
function expected(windows: readonly Made[], { query, devices }: Wanted): Map<string, number[]> {
  const { since, until = NOW, timeZone = 'UTC', by } = query;
  const edges = edgesOf({ since, until }, bucketingOf(query), zoneOf(timeZone));
  const keyOf = ({ device, body }: Made): string =>
    by === 'device' ? device : by === 'level' ? String(body.points[0]?.level) : '';
  const asked = windows.filter(
    ({ device, at }) =>
      at >= (edges[0] ?? since) && at < until && (devices === undefined || devices.includes(device)),
  );
  const cells = Map.groupBy(asked, (window) => `${keyOf(window)} ${edges[bucketAt(edges, window.at)]}`);
  return new Map([...cells].map(([cell, of]) => [cell, of.flatMap(({ latenciesMs }) => latenciesMs)]));
}

function bucketingOf({ bucketMs, bucket }: Wanted['query']) {
  if (bucketMs !== undefined) return { ms: bucketMs };
  return bucket === undefined ? undefined : { unit: bucket };
}

test('answers are those of the windows, whatever is rolled up already, to the last one', () => {
  const property = fc.property(
    fc.array(made, { minLength: 1, maxLength: 40 }),
    fc.integer({ min: 0, max: 40 }),
    questions,
    (windows, rolled, question) => {
      using world = createWorld();
      world.add(...windows.slice(0, rolled));
      world.rollUp();
      world.add(...windows.slice(rolled));
      const query = { ...question.query, metric: 'latencyMs' as const };
      const cells = expected(windows, question);
      const counts = ask(world, { ...query, aggregate: 'count' }, question.devices);
      const p90 = ask(world, { ...query, aggregate: 'p90' }, question.devices);
      const flat = (answer: TelemetryAnswer) =>
        answer.series.flatMap(({ key, points }) =>
          points.map(({ ts, value }) => [`${key} ${ts}`, value] as const),
        );
      const wanted = [...cells].map(([cell, values]) => [cell, values.length] as const);
      expect(new Map(flat(counts))).toEqual(new Map(wanted));
      for (const [cell, value] of flat(p90)) {
        const values = (cells.get(cell) ?? []).toSorted((a, b) => a - b);
        const exact = values[Math.floor(1 + 0.9 * (values.length - 1)) - 1] ?? Number.NaN;
        expect(Math.abs(value - exact)).toBeLessThanOrEqual(exact * 0.0100001);
      }
    },
  );
  fc.assert(property, { numRuns: 40 });
});

test('a percentile is of all values, not a mean of percentiles', () => {
  using world = createWorld();
  const slow = Array.from({ length: 10 }, () => 100);
  const fast = Array.from({ length: 990 }, (_, index) => 1 + index / 1_000);
  world.add(
    { device: 'a', at: T0 + 1_000, body: bodyOf({ points: [pointOf(slow)] }) },
    { device: 'b', at: T0 + 2_000, body: bodyOf({ points: [pointOf(fast)] }) },
  );
  world.rollUp();
  const p98 = ask(world, { metric: 'latencyMs', aggregate: 'p98', until: T0 + HOUR_MS });
  expect(p98.series[0]?.points[0]?.value).toBeLessThan(2.1);
  const p100 = ask(world, { metric: 'latencyMs', aggregate: 'p100', until: T0 + HOUR_MS });
  expect(p100.series[0]?.points).toEqual([{ ts: T0, value: 100, count: 1_000 }]);
});

test('a rate is over the time that is reported, summed over devices: a gap neither counts nor dilutes', () => {
  using world = createWorld();
  const windows = (device: string, count: number, inferences: number): Stored[] =>
    Array.from({ length: count }, (_, index) => ({
      device,
      at: T0 + index * 10_000 + 5_000,
      body: bodyOf({
        points: [pointOf([1], { inferences })],
        energyJ: 50,
        energyMs: 10_000,
        energyQuality: 'measured',
      }),
    }));
  world.add(...windows('a', 6, 100), ...windows('b', 3, 200));
  for (const rolled of [false, true]) {
    if (rolled) world.rollUp();
    const rate = ask(world, { metric: 'inferences', aggregate: 'rate', until: T0 + MINUTE_MS });
    expect(rate.unit).toBe('/s');
    expect(rate.series[0]?.points[0]?.value).toBeCloseTo(10 + 20, 9);
    const power = ask(world, { metric: 'deviceEnergyJ', aggregate: 'rate', until: T0 + MINUTE_MS });
    expect([power.unit, power.series[0]?.points[0]?.value]).toEqual(['W', 10]);
    const coverage = ask(world, { metric: 'coverage', by: 'device', until: T0 + MINUTE_MS });
    expect(valuesOf(coverage)).toEqual({ a: [[T0, 1, 6]], b: [[T0, 0.5, 3]] });
    const wholeOf = (devices?: string[]) =>
      ask(world, { metric: 'coverage', until: T0 + MINUTE_MS }, devices).series[0]?.points[0]?.value;
    expect(wholeOf()).toBe(0.75);
    // One that has never sent anything.
    expect(wholeOf(['a', 'silent'])).toBe(0.5);
  }
});

test('the first and the last times that may be asked for are reckoned with', () => {
  using world = createWorld();
  world.add({ device: 'a', at: T0 + 1, body: bodyOf() });
  const last = Date.parse('9999-12-31T23:59:59.999Z');
  const parse = parserOf(TelemetryQuerySchema);
  expect(() => parse({ metric: 'windows', since: last + 1 }, 'query')).toThrow('since');
  const buckets = [{ bucketMs: HOUR_MS }, { bucketMs: 366 * DAY_MS }, { bucket: 'month' }] as const;
  for (const timeZone of ['UTC', 'Europe/Berlin']) {
    for (const bucket of buckets) {
      const end = ask(world, { metric: 'windows', ...bucket, timeZone, since: last, until: last });
      expect(end.series).toEqual([]);
      const all = ask(world, { metric: 'windows', ...bucket, timeZone, since: 0, until: last });
      expect(all.series[0]?.points).toHaveLength(1);
    }
  }
});

test('shares by level are of the whole bucket; by family too', () => {
  using world = createWorld();
  const other = 'e'.repeat(64);
  world.add(
    {
      device: 'a',
      at: T0 + 1,
      body: bodyOf({
        points: [pointOf([10, 10, 10], { timeMs: 4_000 }), pointOf([9], { level: 2, timeMs: 6_000 })],
      }),
    },
    {
      device: 'b',
      at: T0 + 2,
      body: bodyOf({ family: other, points: [pointOf([1, 2, 3, 4], { level: 2 })] }),
    },
  );
  const until = T0 + HOUR_MS;
  expect(valuesOf(ask(world, { metric: 'share', by: 'level', until }))).toEqual({
    0: [[T0, 3 / 8, 3]],
    2: [[T0, 5 / 8, 5]],
  });
  expect(valuesOf(ask(world, { metric: 'timeShare', by: 'level', until }))).toMatchObject({
    0: [[T0, 0.4, 3]],
    2: [[T0, 0.6, 5]],
  });
  expect(Object.keys(valuesOf(ask(world, { metric: 'accuracy', by: 'family', until })))).toEqual([
    other,
    'f'.repeat(64),
  ]);
  expect(valuesOf(ask(world, { metric: 'level', until }))['']).toEqual([[T0, (5 * 2) / 8, 8]]);
});

test('gauges are weighted by time', () => {
  using world = createWorld();
  const power = (mean: number, ms: number) => ({
    gauges: { powerW: { mean, min: mean - 1, max: mean + 1, ms } },
  });
  world.add(
    { device: 'a', at: T0 + 1, body: bodyOf({ durationMs: 30_000, ...power(10, 30_000) }) },
    { device: 'a', at: T0 + 2, body: bodyOf({ durationMs: 10_000, ...power(30, 10_000) }) },
    { device: 'a', at: T0 + 3, body: bodyOf() },
  );
  const until = T0 + HOUR_MS;
  expect(valuesOf(ask(world, { metric: 'powerW', until }))['']?.[0]?.[1]).toBe(15);
  expect(valuesOf(ask(world, { metric: 'powerW', aggregate: 'max', until }))['']?.[0]?.[1]).toBe(31);
  expect(valuesOf(ask(world, { metric: 'budgetLatencyMs', until }))['']?.[0]?.[1]).toBe(50);
});

test('a bucket without windows has no point', () => {
  using world = createWorld();
  world.add(
    { device: 'a', at: T0 + 1, body: bodyOf() },
    { device: 'a', at: T0 + 3 * HOUR_MS, body: bodyOf() },
  );
  world.rollUp();
  const answer = ask(world, { metric: 'inferences', bucketMs: HOUR_MS, until: T0 + 4 * HOUR_MS });
  expect(valuesOf(answer)['']?.map(([ts]) => ts)).toEqual([T0, T0 + 3 * HOUR_MS]);
});

test('where raw windows and minutes are deleted, an hour counts for the bucket in which it begins', () => {
  using world = createWorld();
  const hours = Array.from({ length: 48 }, (_, index) => ({
    device: 'a',
    at: T0 + index * HOUR_MS + 40 * MINUTE_MS,
    body: bodyOf(),
  }));
  world.add(...hours);
  world.rollUp();
  world.forget('windows', T0 + DAY_MS);
  world.forget('rollup_minute', T0 + DAY_MS);
  const question = { metric: 'windows', aggregate: 'count', bucketMs: 30 * MINUTE_MS } as const;
  const coarse = ask(world, { ...question, until: T0 + 2 * HOUR_MS });
  expect(coarse.resolutionMs).toBe(HOUR_MS);
  expect(valuesOf(coarse)['']).toEqual([
    [T0, 1, 1],
    [T0 + HOUR_MS, 1, 1],
  ]);
  const fine = ask(world, { ...question, since: T0 + DAY_MS + HOUR_MS, until: T0 + DAY_MS + 3 * HOUR_MS });
  expect(fine.resolutionMs).toBe(MINUTE_MS);
  expect(valuesOf(fine)['']?.map(([ts]) => (ts - T0 - DAY_MS) / MINUTE_MS)).toEqual([90, 150]);
  const all = ask(world, { metric: 'windows', aggregate: 'count', until: T0 + 2 * DAY_MS });
  expect(all.series[0]?.points[0]?.value).toBe(48);
});

test('what is late, re-dated or lost is said', () => {
  using world = createWorld();
  world.add(
    { device: 'a', at: T0 + 1, body: bodyOf(), flags: 1 },
    { device: 'b', at: T0 + 2, body: bodyOf(), flags: 3 },
  );
  const gap = { kind: 'gap', bootId: '0000aaaa-0001', from: 3, to: 9, records: 5, reason: 'full' } as const;
  world.addEvent('a', T0 + 5, gap);
  world.addEvent('a', T0 - 5, gap);
  const until = T0 + HOUR_MS;
  expect(ask(world, { metric: 'windows', until })).toMatchObject({
    devices: 2,
    redated: 2,
    late: 1,
    lost: 5,
  });
  expect(ask(world, { metric: 'windows', until }, ['b'])).toMatchObject({ devices: 1, redated: 1, lost: 0 });
});

test('a question that makes no sense is refused with what would', () => {
  using world = createWorld();
  const refused = (query: Question) => expect(() => ask(world, query));
  refused({ metric: 'accuracy', aggregate: 'p99' }).toThrow('these do: mean, count');
  refused({ metric: 'switches', by: 'level' }).toThrow('not known by level');
  refused({ metric: 'share' }).toThrow('by level or family');
  refused({ metric: 'share', by: 'device' }).toThrow('by level or family');
  refused({ metric: 'windows', until: T0 - 1 }).toThrow('before since');
  refused({ metric: 'windows', bucket: 'day', bucketMs: HOUR_MS }).toThrow('one of bucketMs and bucket');
  refused({ metric: 'windows', timeZone: 'Mars/Base' }).toThrow("'Mars/Base'");
});

test('an answer has at most 20,000 points', () => {
  const rule = ruleOf('windows');
  const collection = createCollection({ rule, aggregate: { kind: 'sum' }, by: 'device' });
  const summary = summaryOfWindow(bodyOf(), 0);
  const add = (ts: number) => collection.add({ ts, summary, device: 'a', deviceMs: 1 });
  for (let ts = 0; ts < MAX_POINTS; ts += 1) add(ts);
  // The same point again makes none.
  add(0);
  expect(() => add(MAX_POINTS)).toThrow('more than 20000 points: ask for longer buckets');
});

test('energy of an inference has percentiles of its own', () => {
  using world = createWorld();
  const energyJ = distributionOf([1, 2, 3, 4]);
  world.add({ device: 'a', at: T0 + 1, body: bodyOf({ points: [pointOf([5, 5, 5, 5], { energyJ })] }) });
  world.rollUp();
  const p50 = ask(world, { metric: 'energyJ', aggregate: 'p50', until: T0 + HOUR_MS });
  expect(p50.unit).toBe('J');
  expect(p50.series[0]?.points[0]?.value).toBeCloseTo(2, 1);
});

test("a group's roll-ups are used while they are of its members, and say the same as those of the devices", () => {
  using world = createWorld();
  const windows = ['a', 'b', 'c'].flatMap((device, index) =>
    Array.from({ length: 72 }, (_, hour) => ({
      device,
      at: T0 + hour * HOUR_MS + index,
      body: bodyOf({ points: [pointOf([hour + 1, index + 1])] }),
    })),
  );
  world.add(...windows);
  world.rollUp({ shop: ['a', 'b'] });
  const members = createHash('sha256').update('a\nb\n').digest('base64url');
  const merged = JSON.stringify({ members, fromTs: T0 + DAY_MS });
  world.sqlite.prepare('INSERT INTO meta VALUES (?, ?)').run(groupKey('shop'), merged);
  const question = {
    metric: 'latencyMs',
    aggregate: 'p90',
    bucketMs: HOUR_MS,
    until: T0 + 3 * DAY_MS,
  } as const;
  const ofDevices = ask(world, question, ['a', 'b']);
  expect(ask(world, question, ['a', 'b'], 'shop')).toEqual(ofDevices);
  // Rows of the group's own series are what is read from the second day on.
  world.sqlite.exec(
    `DELETE FROM rollup_hour WHERE key >= (SELECT id FROM series WHERE name = 'a') * 4294967296 + ${(T0 + DAY_MS) / MINUTE_MS}
       AND key < ((SELECT id FROM series WHERE name = 'a') + 1) * 4294967296`,
  );
  expect(ask(world, question, ['a', 'b'], 'shop')).toEqual(ofDevices);
  expect(ask(world, question, ['a', 'b'])).not.toEqual(ofDevices);
  expect(ask(world, question, ['a', 'c'], 'shop').series[0]?.points).toHaveLength(72);
});
