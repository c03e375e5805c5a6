import fc from 'fast-check';
import { MIGRATIONS } from '../../controller/history/migrations.ts';
import { rowOf } from '../../controller/history/summary/rows.ts';
import { mergeSummary, type Summary, summaryOfWindow } from '../../controller/history/summary/summary.ts';
import type { Distribution, Gauge, PointWindow, WindowBody } from '../../shared/protocol/window.ts';
import { toWire } from '../../shared/protocol/window-wire.ts';
import { Sketch } from '../../shared/sketch.ts';
import { openSqlite, type Sqlite } from '../../shared/sqlite.ts';

/** A distribution of values, as a device makes it. */
export function distributionOf(values: readonly number[]): Distribution {
  const sketch = new Sketch();
  for (const value of values) sketch.add(value);
  return {
    count: values.length,
    sum: values.reduce((sum, value) => sum + value, 0),
    min: values.length === 0 ? 0 : Math.min(...values),
    max: values.length === 0 ? 0 : Math.max(...values),
    sketch: sketch.encode(),
  };
}

/** A window in which nothing was done, and what is said of it. */
export function windowBody(change: Partial<WindowBody> = {}): WindowBody {
  return {
    durationMs: 10_000,
    family: 'f'.repeat(64),
    points: [],
    switches: 0,
    skipped: 0,
    unreadable: 0,
    failed: 0,
    slowdown: 1,
    requirement: {},
    ...change,
  };
}

/** What a point did, made from its latencies. */
export function pointWindow(latenciesMs: readonly number[], change: Partial<PointWindow> = {}): PointWindow {
  return {
    pe: 'cpu',
    level: 0,
    inferences: latenciesMs.length,
    misses: 0,
    labelled: 0,
    correct: 0,
    latencyMs: distributionOf(latenciesMs),
    ...change,
  };
}

/** Eighths: sums of them are exact, so that the same must come out in any order. */
const amount = fc.integer({ min: 0, max: 8_000 }).map((eighths) => eighths / 8);
const count = fc.integer({ min: 0, max: 100 });
const distribution = fc.array(amount, { maxLength: 6 }).map(distributionOf);
const gauge: fc.Arbitrary<Gauge> = fc.record({
  mean: amount.map((value) => value - 100),
  min: amount.map((value) => value - 200),
  max: amount,
  ms: fc.integer({ min: 0, max: 10_000 }),
});

/** Fields that may be left out, as they are. */
function optional<T>(fields: { [K in keyof T]: fc.Arbitrary<T[K]> }) {
  return fc.record<T, never>(fields, { requiredKeys: [] });
}

function point(maxLevel: number): fc.Arbitrary<PointWindow> {
  const always = fc.record({
    pe: fc.constantFrom('cpu' as const, 'gpu' as const),
    level: fc.integer({ min: 0, max: maxLevel }),
    inferences: count,
    misses: count,
    labelled: count,
    correct: count,
    latencyMs: distribution,
  });
  const sometimes = optional({
    timeMs: amount,
    confidenceSum: amount,
    audits: count,
    agreed: count,
    slowdown: distribution,
    queueMs: distribution,
    energyJ: distribution,
  });
  return fc.tuple(always, sometimes).map(([a, b]) => ({ ...a, ...b }));
}

/** Windows with anything that may be in them. @param maxPoints in one window, and levels of its family */
export function windows(maxPoints = 4): fc.Arbitrary<WindowBody> {
  const always = fc.record({
    durationMs: fc.integer({ min: 0, max: 60_000 }),
    family: fc.constantFrom('a', 'b', 'c').map((digit) => digit.repeat(64)),
    points: fc.uniqueArray(point(maxPoints), {
      maxLength: maxPoints,
      selector: ({ pe, level }) => `${pe}${level}`,
    }),
    switches: count,
    skipped: count,
    unreadable: count,
    failed: count,
    slowdown: amount,
    requirement: optional({ latencyMs: amount.map((value) => value + 1), tempC: fc.constantFrom(60, 70) }),
  });
  const sometimes = optional({
    sheds: count,
    price: amount,
    energyJ: amount,
    energyMs: amount,
    energyQuality: fc.constantFrom('measured' as const, 'modelled' as const, 'unknown' as const),
    gauges: optional({ powerW: gauge, tempC: gauge, queue: gauge }),
    outboxRecords: count,
    outboxAgeMs: amount,
    drifting: fc.boolean(),
  });
  return fc.tuple(always, sometimes).map(([a, b]) => ({ ...a, ...b }));
}

/** All that a summary holds, to compare. */
export function contentOf(summary: Summary): unknown {
  return rowOf(summary);
}

/** A window as it lies in the history. */
export interface StoredWindow {
  /** Number of the device's series. */
  readonly device: number;
  readonly at: number;
  readonly flags: number;
  readonly body: WindowBody;
}

/** A history in memory with these devices, whose series are numbered from 1. */
export function memoryHistory(devices: readonly string[] = []): Sqlite {
  const sqlite = openSqlite(':memory:', { migrations: MIGRATIONS });
  const insert = sqlite.prepare("INSERT INTO series (id, kind, name) VALUES (?, 'device', ?)");
  for (const [index, device] of devices.entries()) insert.run(index + 1, device);
  return sqlite;
}

/** Stores windows behind those that are there. */
export function storeWindows(sqlite: Sqlite, stored: readonly StoredWindow[]): void {
  const insert = sqlite.prepare(
    `INSERT INTO windows SELECT coalesce(max(id), 0) + 1, 1, coalesce(max(id), 0) + 1, ?, ?, ?, ? FROM windows`,
  );
  sqlite.transaction(() => {
    for (const { device, at, flags, body } of stored) {
      insert.run(device, at, flags, JSON.stringify(toWire(body)));
    }
  })();
}

/** Content of every row that roll-ups of these windows have, merged directly; by table and begin. */
export function directRows(
  stored: readonly StoredWindow[],
  tables: Readonly<Record<string, number>>,
): Map<string, unknown> {
  const summaries = new Map<string, Summary>();
  for (const { at, body, flags } of stored) {
    for (const [table, lengthMs] of Object.entries(tables)) {
      const key = `${table} ${Math.floor(at / lengthMs) * lengthMs}`;
      const summary = summaries.get(key);
      if (summary === undefined) summaries.set(key, summaryOfWindow(body, flags));
      else mergeSummary(summary, summaryOfWindow(body, flags));
    }
  }
  return new Map([...summaries].sort().map(([key, summary]) => [key, contentOf(summary)]));
}
