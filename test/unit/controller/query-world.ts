import { createReadCore, type ReadCore } from '../../../controller/history/read/core.ts';
import { HISTORY_SCHEMA, ROLLED_UP } from '../../../controller/history/schema.ts';
import { rowOf } from '../../../controller/history/summary/rows.ts';
import { addWindow, emptySummary, type Summary } from '../../../controller/history/summary/summary.ts';
import type { EventBody } from '../../../shared/protocol/event.ts';
import type { Distribution, PointWindow, WindowBody } from '../../../shared/protocol/window.ts';
import { fromWire, toWire } from '../../../shared/protocol/window-wire.ts';
import { Sketch } from '../../../shared/sketch.ts';
import { openSqlite, type Sqlite } from '../../../shared/sqlite.ts';

export const MINUTE_MS = 60_000;
export const HOUR_MS = 60 * MINUTE_MS;
export const DAY_MS = 24 * HOUR_MS;
const TABLES = { minute: MINUTE_MS, hour: HOUR_MS, day: DAY_MS } as const;
const SERIES_FACTOR = 2 ** 32;

export function distributionOf(values: readonly number[]): Distribution {
  const sketch = new Sketch();
  for (const value of values) sketch.add(value);
  return {
    count: values.length,
    sum: values.reduce((a, b) => a + b, 0),
    min: values.reduce((a, b) => Math.min(a, b), values[0] ?? 0),
    max: values.reduce((a, b) => Math.max(a, b), values[0] ?? 0),
    sketch: sketch.encode(),
  };
}

export function pointOf(latenciesMs: readonly number[], change: Partial<PointWindow> = {}): PointWindow {
  return {
    pe: 'cpu',
    level: 0,
    inferences: latenciesMs.length,
    misses: 0,
    labelled: latenciesMs.length,
    correct: latenciesMs.length,
    latencyMs: distributionOf(latenciesMs),
    ...change,
  };
}

export function bodyOf(change: Partial<WindowBody> = {}): WindowBody {
  return {
    durationMs: 10_000,
    family: 'f'.repeat(64),
    points: [pointOf([10, 20, 30])],
    switches: 0,
    skipped: 0,
    unreadable: 0,
    failed: 0,
    slowdown: 1,
    requirement: { latencyMs: 50 },
    ...change,
  };
}

export interface Stored {
  readonly device: string;
  /** Middle of the window. */
  readonly at: number;
  readonly body: WindowBody;
  readonly flags?: number;
}

/** A history in memory, with roll-ups that are made the simple way. */
export interface World extends Disposable {
  readonly sqlite: Sqlite;
  readonly core: ReadCore;
  add(...windows: readonly Stored[]): void;
  addEvent(device: string, ts: number, body: EventBody): void;
  addBoot(device: string, boot: BootSpec): void;
  /** Merges all windows that are there into all roll-ups; `groups` are given series of their own. */
  rollUp(groups?: Readonly<Record<string, readonly string[]>>): void;
  forget(table: 'windows' | 'rollup_minute' | 'rollup_hour', before: number): void;
}

export interface BootSpec {
  readonly bootId: string;
  readonly firstTs: number;
  readonly seen: readonly (readonly [number, number])[];
  readonly previous?: { readonly bootId: string; readonly lastSeq: number };
}

export function createWorld(): World {
  const sqlite = openSqlite(':memory:', { migrations: [HISTORY_SCHEMA] });
  const seriesOf = (kind: string, name: string): number => {
    sqlite.prepare('INSERT OR IGNORE INTO series (kind, name) VALUES (?, ?)').run(kind, name);
    return Number(
      sqlite.prepare('SELECT id FROM series WHERE kind = ? AND name = ?').pluck().get(kind, name),
    );
  };
  return {
    sqlite,
    core: createReadCore(sqlite),
    add: sqlite.transaction((...windows: readonly Stored[]) => {
      const insert = sqlite.prepare(
        'INSERT INTO windows (boot, seq, device, at, flags, body) VALUES (1, 1, ?, ?, ?, ?)',
      );
      for (const { device, at, body, flags = 0 } of windows) {
        insert.run(seriesOf('device', device), at, flags, JSON.stringify(toWire(body)));
      }
    }),
    addEvent: (device, ts, body) => {
      sqlite
        .prepare('INSERT INTO events (boot, seq, device, ts, flags, kind, body) VALUES (1, 1, ?, ?, 0, ?, ?)')
        .run(seriesOf('device', device), ts, body.kind, JSON.stringify(body));
    },
    addBoot: (device, { bootId, firstTs, seen, previous }) => {
      const { lastInsertRowid } = sqlite
        .prepare(
          'INSERT INTO boots (device, boot_id, first_ts, previous_boot, previous_last_seq) VALUES (?, ?, ?, ?, ?)',
        )
        .run(
          seriesOf('device', device),
          bootId,
          firstTs,
          previous?.bootId ?? null,
          previous?.lastSeq ?? null,
        );
      for (const range of seen)
        sqlite.prepare('INSERT INTO seen VALUES (?, ?, ?)').run(lastInsertRowid, ...range);
    },
    rollUp: (groups = {}) => rollUp(sqlite, seriesOf, groups),
    forget: (table, before) => {
      if (table === 'windows') sqlite.prepare('DELETE FROM windows WHERE at < ?').run(before);
      else sqlite.exec(`DELETE FROM ${table} WHERE key % ${SERIES_FACTOR} < ${before / MINUTE_MS}`);
    },
    [Symbol.dispose]: () => sqlite.close(),
  };
}

interface WindowRow {
  readonly id: number;
  readonly device: number;
  readonly name: string;
  readonly at: number;
  readonly flags: number;
  readonly body: string;
}

function rollUp(
  sqlite: Sqlite,
  seriesOf: (kind: string, name: string) => number,
  groups: Readonly<Record<string, readonly string[]>>,
): void {
  const rows = sqlite
    .prepare<[], WindowRow>(
      'SELECT windows.id, device, name, at, flags, body FROM windows JOIN series ON series.id = device',
    )
    .all();
  const fleet = seriesOf('fleet', '');
  for (const [table, lengthMs] of Object.entries(TABLES)) {
    const summaries = new Map<number, Summary>();
    for (const row of rows) {
      const of = Object.entries(groups).filter(([, members]) => members.includes(row.name));
      const inGroups = of.map(([name]) => seriesOf('group', name));
      for (const series of [row.device, fleet, ...inGroups]) {
        const key = series * SERIES_FACTOR + (Math.floor(row.at / lengthMs) * lengthMs) / MINUTE_MS;
        const summary = summaries.get(key) ?? emptySummary();
        summaries.set(key, summary);
        addWindow(summary, fromWire(JSON.parse(row.body)), row.flags);
      }
    }
    const insert = sqlite.prepare(`INSERT OR REPLACE INTO rollup_${table} VALUES (?, ?, ?, ?, ?, ?)`);
    for (const [key, summary] of summaries) {
      const { body, latency, slowdown, queue, energy } = rowOf(summary);
      insert.run(key, body, latency, slowdown, queue, energy);
    }
  }
  const last = rows.reduce((max, { id }) => Math.max(max, id), 0);
  sqlite.prepare('INSERT OR REPLACE INTO meta VALUES (?, ?)').run(ROLLED_UP, last);
}
