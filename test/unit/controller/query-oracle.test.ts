import fc from 'fast-check';
import { expect, test } from 'vitest';
import type { Metric, TelemetryQuery } from '../../../controller/api/history-schemas.ts';
import { createReadCore } from '../../../controller/history/read/core.ts';
import { ROW_MS } from '../../../controller/history/read/plan.ts';
import { createRetentionCore, type Retention } from '../../../controller/history/rollup/retention.ts';
import { createRollUpCore } from '../../../controller/history/rollup/roll-up.ts';
import type { PointWindow, WindowBody } from '../../../shared/protocol/window.ts';
import { toWire } from '../../../shared/protocol/window-wire.ts';
import '../../support/properties.ts';
import { distributionOf, memoryHistory, windows } from '../../support/summaries.ts';

/*
 * Every answer once more, by going through all windows that ever came: nothing here knows of summaries, rows,
 * plans or edges. Time zones are written down as the changes of their clocks.
 */

const { minute: MINUTE, hour: HOUR, day: DAY } = ROW_MS;
const T0 = Date.parse('2026-10-23T00:00Z');
const END = T0 + 11 * DAY;
const NOW = END + 5 * HOUR + 7;
const DEVICES = ['a', 'b', 'c', 'd'];
const RETENTION: Retention = { rawMs: 2 * DAY, minuteMs: 4 * DAY, hourMs: 0, dayMs: 0 };
const LONG: Retention = { rawMs: 20 * DAY, minuteMs: 40 * DAY, hourMs: 0, dayMs: 0 };

const H = HOUR;
const ZONES: Readonly<Record<string, readonly (readonly [from: number, offsetMs: number])[]>> = {
  UTC: [[0, 0]],
  'Asia/Kolkata': [[0, 5.5 * H]],
  'Europe/Berlin': [
    [0, 2 * H],
    [Date.parse('2026-10-25T01:00Z'), H],
  ],
  'America/New_York': [
    [0, -4 * H],
    [Date.parse('2026-11-01T06:00Z'), -5 * H],
  ],
};

/** The local clock's number of a bucket, and the local time at which that begins. */
function rulerOf(bucket: Pick<TelemetryQuery, 'bucket' | 'bucketMs'>) {
  const monday = bucket.bucket === 'week' ? 4 * DAY : 0;
  const ms = bucket.bucketMs ?? (bucket.bucket === 'week' ? 7 * DAY : DAY);
  if (bucket.bucket !== 'month') {
    return {
      idOf: (local: number) => Math.floor((local - monday) / ms),
      of: (id: number) => id * ms + monday,
    };
  }
  const idOf = (local: number) => new Date(local).getUTCFullYear() * 12 + new Date(local).getUTCMonth();
  return { idOf, of: (id: number) => Date.UTC(Math.floor(id / 12), id % 12) };
}

type Bucket = Pick<TelemetryQuery, 'bucket' | 'bucketMs'>;

/** Where the bucket of a time begins. */
function beginOf(ts: number, bucket: Bucket, timeZone: string): number {
  const pieces = (ZONES[timeZone] ?? []).map(([from, offsetMs], index, all) => ({
    ...{ from, offsetMs },
    to: all[index + 1]?.[0] ?? Number.POSITIVE_INFINITY,
  }));
  const { idOf, of } = rulerOf(bucket);
  if (bucket.bucketMs !== undefined && bucket.bucketMs <= HOUR) {
    const { from = 0, offsetMs = 0 } = pieces.findLast((piece) => piece.from <= ts) ?? {};
    return Math.max(from, of(idOf(ts + offsetMs)) - offsetMs);
  }
  // The greatest number that the clock has shown until then, and when it first did.
  const until = pieces.filter(({ from }) => from <= ts);
  const id = Math.max(...until.map(({ to, offsetMs }) => idOf(Math.min(ts, to - 1) + offsetMs)));
  const begins = until.map(({ from, to, offsetMs }) => {
    const begin = Math.max(from, of(id) - offsetMs);
    return begin < to ? begin : Number.POSITIVE_INFINITY;
  });
  return Math.min(...begins);
}

interface Made {
  readonly device: string;
  readonly at: number;
  readonly body: WindowBody;
  /** Latencies of each point. */
  readonly values: ReadonlyMap<PointWindow, readonly number[]>;
}

const latencies = fc.array(
  fc.integer({ min: 1, max: 80_000 }).map((eighths) => eighths / 8),
  { minLength: 0, maxLength: 8 },
);
const made: fc.Arbitrary<Made> = fc
  .record({
    device: fc.constantFrom(...DEVICES),
    at: fc.oneof(
      fc.integer({ min: T0, max: END - 1 }),
      fc.integer({ min: 0, max: 11 * 24 - 1 }).map((hours) => T0 + hours * HOUR),
    ),
    body: windows(3),
    latenciesMs: fc.array(latencies, { minLength: 3, maxLength: 3 }),
  })
  .map(({ device, at, body, latenciesMs }) => {
    const values = new Map<PointWindow, readonly number[]>();
    const points = body.points.map((point, index) => {
      const of = latenciesMs[index] ?? [];
      const whole = { ...point, latencyMs: distributionOf(of) };
      values.set(whole, of);
      return whole;
    });
    return { device, at, body: { ...body, points }, values };
  });

/** What one value of an answer is about. */
interface Cell {
  readonly windows: readonly Made[];
  /** Of the points only these. */
  readonly isOf: (made: Made, point: PointWindow) => boolean;
}

const sum = (values: readonly number[]): number => values.reduce((a, b) => a + b, 0);
const pointsOf = ({ windows: all, isOf }: Cell): PointWindow[] =>
  all.flatMap((each) => each.body.points.filter((point) => isOf(each, point)));

type Value = { readonly sum: number; readonly weight: number; readonly rateMs: number };

/** Sum, and what it is divided by for the mean and the rate. */
const SUMS: Partial<Record<Metric, (cell: Cell) => Value>> = {
  inferences: counted((cell) => sum(pointsOf(cell).map(({ inferences }) => inferences))),
  misses: counted((cell) => sum(pointsOf(cell).map(({ misses }) => misses))),
  switches: counted(({ windows: all }) => sum(all.map(({ body }) => body.switches))),
  sheds: counted(({ windows: all }) => sum(all.map(({ body }) => body.sheds ?? 0))),
  windows: counted(({ windows: all }) => all.length),
  missShare: (cell) => shareOf(cell, 'misses', 'inferences'),
  accuracy: (cell) => shareOf(cell, 'correct', 'labelled'),
  agreement: (cell) => shareOf(cell, 'agreed', 'audits'),
  share: (cell) => wholeOf(cell, 'inferences'),
  timeShare: (cell) => wholeOf(cell, 'timeMs'),
  deviceEnergyJ: ({ windows: all }) => ({
    sum: sum(all.map(({ body }) => body.energyJ ?? 0)),
    weight: 0,
    rateMs: sum(all.map(({ body }) => (body.energyJ === undefined ? 0 : (body.energyMs ?? body.durationMs)))),
  }),
  powerW: ({ windows: all }) => gaugeOf(all.map(({ body }) => body.gauges?.powerW)),
  price: ({ windows: all }) =>
    gaugeOf(
      all.map(({ body: { price, durationMs: ms } }) =>
        price === undefined ? undefined : { mean: price, ms },
      ),
    ),
  budgetTempC: ({ windows: all }) =>
    gaugeOf(
      all.map(({ body: { requirement, durationMs: ms } }) =>
        requirement.tempC === undefined ? undefined : { mean: requirement.tempC, ms },
      ),
    ),
};

function counted(of: (cell: Cell) => number): (cell: Cell) => Value {
  return (cell) => ({
    sum: of(cell),
    weight: cell.windows.length,
    rateMs: sum(cell.windows.map(({ body }) => body.durationMs)),
  });
}

type PointNumber = 'misses' | 'inferences' | 'correct' | 'labelled' | 'agreed' | 'audits' | 'timeMs';

function shareOf(cell: Cell, part: PointNumber, whole: PointNumber): Value {
  const points = pointsOf(cell);
  const [above, below] = [part, whole].map((name) => sum(points.map((point) => point[name] ?? 0)));
  return { sum: above ?? 0, weight: below ?? 0, rateMs: 0 };
}

function wholeOf(cell: Cell, name: PointNumber): Value {
  const { weight } = shareOf({ ...cell, isOf: () => true }, name, name);
  return { ...shareOf(cell, name, name), weight };
}

function gaugeOf(gauges: readonly ({ readonly mean: number; readonly ms: number } | undefined)[]): Value {
  const known = gauges.filter((each) => each !== undefined);
  return {
    sum: sum(known.map(({ mean, ms }) => mean * ms)),
    weight: sum(known.map(({ ms }) => ms)),
    rateMs: 0,
  };
}

/** The value of a cell; undefined where there is none. */
function exactOf(metric: Metric, aggregate: string, cell: Cell): number | undefined {
  if (metric === 'latencyMs') return latencyOf(aggregate, cell);
  const value = SUMS[metric]?.(cell) ?? { sum: 0, weight: 0, rateMs: 0 };
  if (metric === 'deviceEnergyJ' && value.rateMs === 0) return undefined;
  if (aggregate === 'sum') return value.sum;
  if (aggregate === 'rate') return value.rateMs === 0 ? undefined : (value.sum / value.rateMs) * 1_000;
  return value.weight === 0 ? undefined : value.sum / value.weight;
}

function latencyOf(aggregate: string, { windows: all, isOf }: Cell): number | undefined {
  const values = all
    .flatMap((each) => [...each.values].flatMap(([point, of]) => (isOf(each, point) ? of : [])))
    .toSorted((a, b) => a - b);
  if (values.length === 0) return undefined;
  if (aggregate === 'mean') return sum(values) / values.length;
  if (aggregate === 'max') return values.at(-1);
  return values[Math.floor((Number(aggregate.slice(1)) / 100) * (values.length - 1))];
}

interface Asked {
  readonly query: Pick<TelemetryQuery, 'metric' | 'aggregate' | 'by' | 'since' | 'until' | 'timeZone'> &
    Bucket;
  readonly devices: readonly string[] | undefined;
}

/** Values of an answer under `key begin`. */
function expected(all: readonly Made[], { query, devices }: Asked): Map<string, number> {
  const { metric, aggregate = 'mean', by, since, until = NOW, timeZone = 'UTC' } = query;
  const hasBuckets = query.bucket !== undefined || query.bucketMs !== undefined;
  const beginsAt = (ts: number): number => (hasBuckets ? beginOf(ts, query, timeZone) : since);
  const first = beginsAt(since);
  const asked = all.filter(
    ({ device, at }) => at >= first && at < until && (devices === undefined || devices.includes(device)),
  );
  const found = new Map<string, number>();
  for (const [begin, inBucket] of Map.groupBy(asked, ({ at }) => beginsAt(at))) {
    // A rate is that of each device, added up.
    const isApart = aggregate === 'rate' || by === 'device';
    const parts = isApart ? Map.groupBy(inBucket, ({ device }) => device) : new Map([['', inBucket]]);
    for (const [device, of] of parts) {
      for (const [key, cell] of cellsOf(of, by, device)) {
        const value = exactOf(metric, aggregate, cell);
        const name = `${key} ${begin}`;
        if (value !== undefined) found.set(name, (found.get(name) ?? 0) + value);
      }
    }
  }
  return found;
}

function cellsOf(all: readonly Made[], by: TelemetryQuery['by'], device: string): [string, Cell][] {
  if (by !== 'level' && by !== 'family') {
    return [[by === 'device' ? device : '', { windows: all, isOf: () => true }]];
  }
  const keyOf = ({ body }: Made, point: PointWindow) => (by === 'level' ? String(point.level) : body.family);
  const keys = new Set(all.flatMap((each) => each.body.points.map((point) => keyOf(each, point))));
  return [...keys].map((key) => [
    key,
    { windows: all, isOf: (each: Made, point: PointWindow) => keyOf(each, point) === key },
  ]);
}

const KINDS: readonly (readonly [Metric, readonly string[], readonly TelemetryQuery['by'][]])[] = [
  ['latencyMs', ['p50', 'p90', 'p99.9', 'mean', 'max'], [undefined, 'device', 'level', 'family']],
  ...(['inferences', 'misses'] as const).map(
    (metric) => [metric, ['sum', 'rate', 'mean'], [undefined, 'device', 'level', 'family']] as const,
  ),
  ...(['switches', 'sheds', 'windows'] as const).map(
    (metric) => [metric, ['sum', 'rate', 'mean'], [undefined, 'device']] as const,
  ),
  ...(['missShare', 'accuracy', 'agreement'] as const).map(
    (metric) => [metric, ['mean'], [undefined, 'device', 'level', 'family']] as const,
  ),
  ...(['share', 'timeShare'] as const).map((metric) => [metric, ['mean'], ['level', 'family']] as const),
  ['deviceEnergyJ', ['sum', 'rate'], [undefined, 'device']],
  ...(['powerW', 'price', 'budgetTempC'] as const).map(
    (metric) => [metric, ['mean'], [undefined, 'device']] as const,
  ),
];

const kinds = fc.constantFrom(...KINDS).chain(([metric, aggregates, bys]) =>
  fc.record({
    metric: fc.constant(metric),
    aggregate: fc.constantFrom(...aggregates),
    by: fc.constantFrom(...bys),
  }),
);
const GROUP = 'shop';
const whom = fc.constantFrom('all', 'one', 'some', 'group');

/** What can be asked as long as every window is there. */
const anything = fc.record({
  since: fc.integer({ min: T0 - DAY, max: END }),
  lengthMs: fc.oneof(
    fc.integer({ min: 1, max: 5 * DAY }),
    fc.integer({ min: 1, max: 5 }).map((n) => n * DAY),
  ),
  bucket: fc.constantFrom<Bucket>(
    {},
    { bucketMs: 7 * MINUTE },
    { bucketMs: HOUR },
    { bucketMs: 5 * HOUR },
    { bucketMs: 2 * DAY },
    { bucket: 'day' },
    { bucket: 'week' },
    { bucket: 'month' },
  ),
  timeZone: fc.constantFrom(...Object.keys(ZONES)),
});
/** What hours and days can answer: from whole days to whole days. */
const coarse = fc.record({
  since: fc.integer({ min: -1, max: 11 }).map((days) => T0 + days * DAY),
  lengthMs: fc.integer({ min: 1, max: 12 }).map((days) => days * DAY),
  bucket: fc.constantFrom<Bucket>(
    {},
    { bucketMs: HOUR },
    { bucketMs: 5 * HOUR },
    { bucket: 'day' },
    { bucket: 'week' },
  ),
  timeZone: fc.constant('UTC'),
});

/** A history as it grows: what came, who was in the group, and whether the jobs ran after it. */
const growth = fc.array(
  fc.record({
    windows: fc.array(made, { maxLength: 14 }),
    members: fc.subarray(DEVICES, { minLength: 1 }),
    isRolledUp: fc.boolean(),
  }),
  { minLength: 1, maxLength: 4 },
);

function drain(steps: Generator<undefined, unknown, undefined>): void {
  while (steps.next().done !== true);
}

function isClose(value: number | undefined, exact: number, aggregate: string): boolean {
  const error = /^p\d/.test(aggregate) ? 0.0100001 : 1e-6;
  return value !== undefined && Math.abs(value - exact) <= Math.abs(exact) * error + 1e-9;
}

type Part = {
  readonly windows: readonly Made[];
  readonly members: readonly string[];
  readonly isRolledUp: boolean;
};

/** A history that has grown; what came into it is added to `came`. */
function grown(parts: readonly Part[], retention: Retention | undefined, came: Made[]) {
  const sqlite = memoryHistory(DEVICES);
  const insert = sqlite.prepare('INSERT INTO windows VALUES (?, 1, ?, ?, ?, 0, ?)');
  for (const { windows: some, members, isRolledUp } of parts) {
    for (const each of some) {
      came.push(each);
      const device = DEVICES.indexOf(each.device) + 1;
      insert.run(came.length, came.length, device, each.at, JSON.stringify(toWire(each.body)));
    }
    if (!isRolledUp) continue;
    drain(createRollUpCore(sqlite).rollUp(new Map([[GROUP, members]])));
    if (retention !== undefined) drain(createRetentionCore(sqlite, () => undefined).retain(retention, NOW));
  }
  return sqlite;
}

function expectClose(
  got: ReadonlyMap<string, number>,
  exact: ReadonlyMap<string, number>,
  asked: Asked,
): void {
  const what = JSON.stringify(asked);
  expect([...got.keys()].sort(), what).toEqual([...exact.keys()].sort());
  for (const [name, value] of exact) {
    if (isClose(got.get(name), value, asked.query.aggregate ?? '')) continue;
    throw new Error(`${what} ${name}: ${got.get(name)}, not ${value}`);
  }
}

function checkWith(questions: typeof anything | typeof coarse, retention: Retention): void {
  const asked = fc.array(fc.tuple(kinds, questions, whom), { minLength: 12, maxLength: 12 });
  const property = fc.property(growth, asked, (parts, all) => {
    const came: Made[] = [];
    const sqlite = grown(parts, retention, came);
    const core = createReadCore(sqlite);
    const members = parts.at(-1)?.members ?? [];
    for (const [{ by, ...kind }, { since, lengthMs, bucket, timeZone }, target] of all) {
      const until = Math.min(since + lengthMs, NOW);
      const query = { ...kind, ...(by && { by }), ...bucket, since, until, timeZone };
      const devices = { all: undefined, one: ['b'], some: ['a', 'c'], group: members }[target];
      const group = target === 'group' ? GROUP : undefined;
      const { series } = core.query({ query, devices, group, kept: retention, now: NOW });
      const values = series.flatMap(({ key, points }) =>
        points.map(({ ts, value }) => [`${key} ${ts}`, value] as const),
      );
      expectClose(new Map(values), expected(came, { query, devices }), { query, devices });
    }
    sqlite.close();
  });
  fc.assert(property, { numRuns: 30 });
}

test('every answer is that of all windows, whatever was rolled up when, and who was in the group then', () => {
  checkWith(anything, LONG);
});

test('so it is for whole days and their hours when windows and minutes have been deleted', () => {
  checkWith(coarse, RETENTION);
});
