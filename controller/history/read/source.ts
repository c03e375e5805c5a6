import type { DistributionName } from '../../../shared/protocol/window.ts';
import type { Sqlite } from '../../../shared/sqlite.ts';
import { ROLLED_UP } from '../schema.ts';
import type { SummaryRow } from '../summary/rows.ts';
import { RESOLUTIONS, type RollUp } from './plan.ts';

/** A row of a roll-up: what it needs to be merged, and when it begins. */
export type RollUpRow = Pick<SummaryRow, 'body'> & Partial<SummaryRow> & { readonly key: number };

export interface RawRow {
  readonly id: number;
  /** Number of the device's series. */
  readonly device: number;
  /** Middle of the window, milliseconds since the epoch. */
  readonly at: number;
  readonly flags: number;
  /** JSON of its wire form. */
  readonly body: string;
}

/** Windows that are not in the roll-ups yet. */
export interface Unrolled {
  readonly count: number;
  /** Span of their `at`, both ends included. */
  readonly first: number;
  readonly last: number;
}

/** Which sketches are read: none, that of one distribution, or all. */
export type Columns = DistributionName | 'all' | undefined;

/** Statements over the tables of the history. Windows come one by one, so that memory stays bounded. */
export interface Source {
  /** Greatest id of a window that is in all roll-ups. */
  rolledUp(): number;
  unrolled(rolledUp: number): Unrolled | undefined;
  /** Number of the fleet's or a group's series. */
  seriesOf(kind: 'fleet' | 'group', name: string): number | undefined;
  /** Devices that the history knows: name by number of the series. */
  devices(): Map<number, string>;
  /** Rows that begin in a span, all at once, which is faster: callers ask for bounded spans. */
  rollUps(table: RollUp, columns: Columns): (series: number, from: number, to: number) => Iterable<RollUpRow>;
  /** Begin of the first (the last) row of a series. */
  firstOf(table: RollUp, series: number): number | undefined;
  lastOf(table: RollUp, series: number): number | undefined;
  /** Windows of a device that are in the roll-ups (`id` up to `to`), or those that are not. */
  rawOf(device: number, span: RawSpan): Iterable<RawRow>;
  /** Windows of all devices that are not in the roll-ups. */
  unrolledOf(rolledUp: number, from: number, to: number): Iterable<RawRow>;
  /** When the oldest window of all was. */
  firstWindow(): number | undefined;
  hasWindows(): boolean;
  /** Whether a device has a window at this time or after it. */
  hasWindowFrom(device: number, ts: number): boolean;
  isAnyWindowFrom(ts: number): boolean;
  meta(key: string): string | number | undefined;
}

export interface RawSpan {
  readonly from: number;
  readonly to: number;
  /** Ids above `above` up to `upTo`. */
  readonly above: number;
  readonly upTo: number;
}

const COLUMN_OF = {
  latencyMs: 'latency',
  slowdown: 'slowdown',
  queueMs: 'queue',
  energyJ: 'energy',
} as const satisfies Record<DistributionName, string>;

const SERIES_FACTOR = 2 ** 32;
const MINUTE_MS = 60_000;

/** Key of the first row of a series that begins at `ts` or after it. */
export function keyOf(series: number, ts: number): number {
  const minute = Math.min(Math.max(Math.ceil(ts / MINUTE_MS), 0), SERIES_FACTOR - 1);
  return series * SERIES_FACTOR + minute;
}

/** When a row begins, milliseconds since the epoch. */
export function startOf(key: number): number {
  return (key % SERIES_FACTOR) * MINUTE_MS;
}

/** Prepares the statements on a connection that is only read. */
export function createSource(sqlite: Sqlite): Source {
  return { ...metaSource(sqlite), ...rollUpSource(sqlite), ...rawSource(sqlite) };
}

type MetaSource = Pick<Source, 'rolledUp' | 'seriesOf' | 'devices' | 'meta'>;

function metaSource(sqlite: Sqlite): MetaSource {
  const meta = sqlite.prepare<[string], string | number>('SELECT value FROM meta WHERE key = ?');
  const series = sqlite.prepare<[string, string], number>(
    'SELECT id FROM series WHERE kind = ? AND name = ?',
  );
  const devices = sqlite.prepare<[], [number, string]>("SELECT id, name FROM series WHERE kind = 'device'");
  meta.pluck();
  series.pluck();
  devices.raw();
  return {
    rolledUp: () => Number(meta.get(ROLLED_UP) ?? 0),
    seriesOf: (kind, name) => series.get(kind, name),
    devices: () => new Map(devices.all()),
    meta: (key) => meta.get(key),
  };
}

type RollUpSource = Pick<Source, 'rollUps' | 'firstOf' | 'lastOf'>;

function rollUpSource(sqlite: Sqlite): RollUpSource {
  const cached = new Map<string, (series: number, from: number, to: number) => Iterable<RollUpRow>>();
  const prepare = (table: RollUp, columns: Columns) => {
    const statement = sqlite.prepare<[number, number], RollUpRow>(
      `SELECT ${namesOf(columns)} FROM rollup_${table} WHERE key >= ? AND key < ? ORDER BY key`,
    );
    return (series: number, from: number, to: number) =>
      statement.all(keyOf(series, from), keyOf(series, to));
  };
  const ends = Object.fromEntries(
    RESOLUTIONS.filter((each) => each !== 'raw').map((table) => [table, endsOf(sqlite, table)]),
  ) as Record<RollUp, ReturnType<typeof endsOf>>;
  return {
    rollUps: (table, columns) => {
      const name = `${table} ${columns}`;
      const known = cached.get(name) ?? prepare(table, columns);
      cached.set(name, known);
      return known;
    },
    firstOf: (table, series) => ends[table].first(series),
    lastOf: (table, series) => ends[table].last(series),
  };
}

function namesOf(columns: Columns): string {
  if (columns === undefined) return 'key, body';
  if (columns === 'all') return 'key, body, latency, slowdown, queue, energy';
  return `key, body, ${COLUMN_OF[columns]}`;
}

function endsOf(sqlite: Sqlite, table: RollUp) {
  const end = (order: 'ASC' | 'DESC') => {
    const statement = sqlite.prepare<[number, number], number>(
      `SELECT key FROM rollup_${table} WHERE key >= ? AND key < ? ORDER BY key ${order} LIMIT 1`,
    );
    statement.pluck();
    return (series: number): number | undefined => {
      const key = statement.get(series * SERIES_FACTOR, (series + 1) * SERIES_FACTOR);
      return key === undefined ? undefined : startOf(key);
    };
  };
  return { first: end('ASC'), last: end('DESC') };
}

type RawSource = Omit<Source, keyof MetaSource | keyof RollUpSource>;

function rawSource(sqlite: Sqlite): RawSource {
  const columns = 'id, device, at, flags, body';
  const unrolled = sqlite.prepare<[number], { count: number; first: number | null; last: number | null }>(
    'SELECT count(*) AS count, min(at) AS first, max(at) AS last FROM windows WHERE id > ?',
  );
  const rawOf = sqlite.prepare<[number, number, number, number, number], RawRow>(
    `SELECT ${columns} FROM windows
     WHERE device = ? AND at >= ? AND at < ? AND id > ? AND id <= ? ORDER BY at, id`,
  );
  const unrolledOf = sqlite.prepare<[number, number, number], RawRow>(
    `SELECT ${columns} FROM windows WHERE id > ? AND +at >= ? AND +at < ? ORDER BY id`,
  );
  // One look into the index for each device: there is none by time alone.
  const first = sqlite.prepare<[], number | null>(
    `SELECT min((SELECT at FROM windows WHERE device = series.id ORDER BY at LIMIT 1))
     FROM series WHERE kind = 'device'`,
  );
  const some = sqlite.prepare<[], number>('SELECT EXISTS (SELECT 1 FROM windows)');
  const has = sqlite.prepare<[number, number], number>(
    'SELECT 1 FROM windows WHERE device = ? AND at >= ? LIMIT 1',
  );
  const hasAny = sqlite.prepare<[number], number>(
    `SELECT EXISTS (SELECT 1 FROM series WHERE kind = 'device'
       AND EXISTS (SELECT 1 FROM windows WHERE device = series.id AND at >= ?))`,
  );
  for (const statement of [first, some, has, hasAny]) statement.pluck();
  return {
    unrolled: (rolledUp) => {
      const found = unrolled.get(rolledUp);
      if (found === undefined || found.first === null || found.last === null) return undefined;
      return { count: found.count, first: found.first, last: found.last };
    },
    rawOf: (device, { from, to, above, upTo }) => rawOf.iterate(device, from, to, above, upTo),
    unrolledOf: (rolledUp, from, to) => unrolledOf.iterate(rolledUp, from, to),
    firstWindow: () => first.get() ?? undefined,
    hasWindows: () => some.get() === 1,
    hasWindowFrom: (device, ts) => has.get(device, ts) !== undefined,
    isAnyWindowFrom: (ts) => hasAny.get(ts) === 1,
  };
}
