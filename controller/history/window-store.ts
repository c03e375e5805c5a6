import { type Requirement, RequirementSchema } from '../../shared/protocol/requirement.ts';
import type { PointWindow, WindowEnvelope } from '../../shared/protocol/window.ts';
import { parseJson, parserOf } from '../../shared/schema.ts';
import type { Sqlite, Statement } from '../../shared/sqlite.ts';

/** What one operating point did in a stored window. */
export type StoredPoint = Omit<PointWindow, 'pe' | 'latencySketch'> & {
  /** As the device sent it; not read unless it was asked for. */
  readonly latencySketch: string | undefined;
};

export interface StoredWindow {
  readonly device: string;
  readonly ts: number;
  readonly durationMs: number;
  readonly switches: number;
  readonly sheds: number;
  readonly skipped: number;
  readonly unreadable: number;
  readonly failed: number;
  readonly slowdown: number;
  /** Null where the device did not say. */
  readonly price: number | null;
  readonly points: readonly StoredPoint[];
}

export type LatestWindow = StoredWindow & { readonly requirement: Requirement };

export interface WindowRange {
  /** Only these devices; all when it is undefined. */
  readonly devices: readonly string[] | undefined;
  readonly since: number;
  /** Not included. */
  readonly until: number;
  readonly withSketches: boolean;
}

export interface WindowStore {
  /** Whether it was new. */
  insert(envelope: WindowEnvelope): boolean;
  count(): number;
  latest(device: string): LatestWindow | undefined;
  /** The windows of a range by their time, a page at a time, so that a long query can give way between pages. */
  pages(range: WindowRange): Generator<readonly StoredWindow[]>;
}

const PAGE_WINDOWS = 1_000;
const WINDOW_COLUMNS =
  'id, device, ts, duration_ms AS durationMs, switches, sheds, skipped, unreadable, failed, slowdown, price, ' +
  'requirement';
const POINT_COLUMNS =
  'level, inferences, misses, labelled, correct, latency_sum_ms AS latencySumMs, ' +
  'latency_min_ms AS latencyMinMs, latency_max_ms AS latencyMaxMs';

type WindowRow = Omit<StoredWindow, 'points'> & { readonly id: number; readonly requirement: string };
type PointRow = Omit<StoredPoint, 'latencySketch'> & {
  readonly window: number;
  readonly sketch: Uint8Array | null;
};

export function createWindowStore(sqlite: Sqlite): WindowStore {
  const parseRequirement = parserOf(RequirementSchema);
  const count = sqlite.prepare('SELECT count(*) FROM windows').pluck();
  const latest = sqlite.prepare<[string], WindowRow>(
    `SELECT ${WINDOW_COLUMNS} FROM windows WHERE device = ? ORDER BY ts DESC, id DESC LIMIT 1`,
  );
  const readPoints = pointReader(sqlite);
  return {
    insert: inserter(sqlite),
    count: () => Number(count.get()),
    latest: (device) => {
      const row = latest.get(device);
      if (row === undefined) return undefined;
      const requirement = parseJson(row.requirement, parseRequirement, 'stored requirement');
      return { ...row, requirement, points: readPoints([row.id], true).get(row.id) ?? [] };
    },
    pages: pager(sqlite, readPoints),
  };
}

function inserter(sqlite: Sqlite): (envelope: WindowEnvelope) => boolean {
  const insertWindow = sqlite.prepare(
    `INSERT OR IGNORE INTO windows
       (device, boot_id, seq, ts, clock, duration_ms, family,
        switches, sheds, skipped, unreadable, failed, slowdown, price, requirement)
     VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?)`,
  );
  const insertPoint = sqlite.prepare('INSERT INTO window_points VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?)');
  return ({ device, bootId, seq, ts, clock, body }) => {
    const { durationMs, family, switches, sheds = 0, skipped, unreadable, failed, slowdown, price } = body;
    const key = [device, bootId, seq, Math.round(ts), clock];
    const counts = [switches, sheds, skipped, unreadable, failed, slowdown, price ?? null];
    const { changes, lastInsertRowid } = insertWindow.run(
      ...key,
      durationMs,
      family,
      ...counts,
      JSON.stringify(body.requirement),
    );
    if (changes === 0) return false;
    for (const [position, point] of body.points.entries()) {
      runPoint(insertPoint, { window: lastInsertRowid, position, point });
    }
    return true;
  };
}

function runPoint(
  statement: Statement,
  { window, position, point }: { window: number | bigint; position: number; point: PointWindow },
): void {
  const counts = [point.inferences, point.misses, point.labelled, point.correct];
  const latency = [point.latencySumMs, point.latencyMinMs, point.latencyMaxMs];
  const sketch = Buffer.from(point.latencySketch, 'base64');
  statement.run(window, position, point.pe, point.level, ...counts, ...latency, sketch);
}

type PointReader = (
  windows: readonly number[],
  withSketches: boolean,
) => ReadonlyMap<number, readonly StoredPoint[]>;

function pointReader(sqlite: Sqlite): PointReader {
  const select = (sketch: string) =>
    sqlite.prepare<[string], PointRow>(
      `SELECT window, ${POINT_COLUMNS}, ${sketch} AS sketch FROM window_points
       WHERE window IN (SELECT value FROM json_each(?)) ORDER BY window, position`,
    );
  const bare = select('NULL');
  const full = select('latency_sketch');
  return (windows, withSketches) => {
    const points = new Map<number, StoredPoint[]>();
    for (const row of (withSketches ? full : bare).all(JSON.stringify(windows))) {
      const latencySketch = row.sketch === null ? undefined : Buffer.from(row.sketch).toString('base64');
      const of = points.get(row.window);
      if (of === undefined) points.set(row.window, [{ ...row, latencySketch }]);
      else of.push({ ...row, latencySketch });
    }
    return points;
  };
}

function pager(sqlite: Sqlite, readPoints: PointReader): WindowStore['pages'] {
  const select = (filter: string) =>
    sqlite.prepare<Record<string, unknown>, WindowRow>(
      `SELECT ${WINDOW_COLUMNS} FROM windows
       WHERE ts < @until AND (ts, id) > (@ts, @id) ${filter} ORDER BY ts, id LIMIT ${PAGE_WINDOWS}`,
    );
  const ofAll = select('');
  const ofOne = select('AND device = @device');
  const ofSome = select('AND device IN (SELECT value FROM json_each(@devices))');
  return function* pages({ devices, since, until, withSketches }) {
    const statement = devices === undefined ? ofAll : devices.length === 1 ? ofOne : ofSome;
    const target = { device: devices?.[0] ?? '', devices: JSON.stringify(devices ?? []) };
    let after = { ts: since, id: 0 };
    for (;;) {
      const rows = statement.all({ until, ...after, ...target });
      const last = rows.at(-1);
      if (last === undefined) return;
      const points = readPoints(
        rows.map(({ id }) => id),
        withSketches,
      );
      yield rows.map((row) => ({ ...row, points: points.get(row.id) ?? [] }));
      if (rows.length < PAGE_WINDOWS) return;
      after = { ts: last.ts, id: last.id };
    }
  };
}
