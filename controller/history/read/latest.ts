import type { PointWindow, WindowBody } from '../../../shared/protocol/window.ts';
import { Sketch } from '../../../shared/sketch.ts';
import type { Sqlite } from '../../../shared/sqlite.ts';
import type { Latest } from '../../api/schemas.ts';
import { FLAGS } from '../schema.ts';
import { windowOf } from './window-row.ts';

export interface LatestCore {
  /** The newest window of each device, by its name; devices without one are left out. */
  latest(devices: readonly string[]): Record<string, Latest>;
}

/** A stored window without its numbers. */
export interface LineRow {
  /** Middle of the window, milliseconds since the epoch. */
  readonly at: number;
  readonly flags: number;
  /** JSON of its wire form. */
  readonly body: string;
}

/** Newest windows, on a connection that is only read. */
export function createLatestCore(sqlite: Sqlite): LatestCore {
  const newest = sqlite.prepare<[string], LineRow>(
    `SELECT at, flags, body FROM windows
     WHERE device = (SELECT id FROM series WHERE kind = 'device' AND name = ?)
     ORDER BY at DESC, id DESC LIMIT 1`,
  );
  const read = sqlite.transaction((devices: readonly string[]) =>
    Object.fromEntries(
      devices.flatMap((device) => {
        const row = newest.get(device);
        return row === undefined ? [] : [[device, latestOf(row)] as const];
      }),
    ),
  );
  return { latest: (devices) => read(devices) };
}

/** A window in a line. */
export function latestOf(row: LineRow): Latest {
  const window = windowOf(row);
  const { durationMs, points, switches, sheds = 0, slowdown, requirement } = window;
  const busiest = busiestOf(points);
  const labelled = sumOf(points, (point) => point.labelled);
  return {
    ts: Math.round(row.at + durationMs / 2),
    durationMs,
    inferences: sumOf(points, ({ inferences }) => inferences),
    misses: sumOf(points, ({ misses }) => misses),
    switches,
    sheds,
    level: busiest?.level ?? null,
    ...latencyOf(points),
    accuracy: labelled === 0 ? null : sumOf(points, ({ correct }) => correct) / labelled,
    slowdown,
    ...(busiest === undefined ? {} : { pe: busiest.pe }),
    ...stateOf(window),
    ...((row.flags & FLAGS.redated) === 0 ? {} : { redated: true }),
    requirement,
  };
}

function sumOf(points: readonly PointWindow[], of: (point: PointWindow) => number): number {
  return points.reduce((sum, point) => sum + of(point), 0);
}

function busiestOf(points: readonly PointWindow[]): PointWindow | undefined {
  return points.reduce<PointWindow | undefined>(
    (most, point) => (point.inferences > (most?.inferences ?? 0) ? point : most),
    undefined,
  );
}

function latencyOf(points: readonly PointWindow[]): Pick<Latest, 'latencyMeanMs' | 'latencyP95Ms'> {
  const known = points.map(({ latencyMs }) => latencyMs).filter(({ count }) => count > 0);
  const [first] = known;
  if (first === undefined) return { latencyMeanMs: null, latencyP95Ms: null };
  const merged = new Sketch();
  for (const { sketch } of known) merged.mergeBytes(Buffer.from(sketch, 'base64'));
  const least = known.reduce((min, each) => Math.min(min, each.min), first.min);
  const most = known.reduce((max, each) => Math.max(max, each.max), first.max);
  const count = known.reduce((sum, each) => sum + each.count, 0);
  return {
    latencyMeanMs: known.reduce((sum, each) => sum + each.sum, 0) / count,
    // The sketch's error must not lead beyond what was measured.
    latencyP95Ms: Math.min(Math.max(merged.quantile(0.95) ?? least, least), most),
  };
}

/** What the device said about itself, where it did. */
function stateOf(window: WindowBody): Partial<Latest> {
  const { family, gauges = {}, outboxRecords, outboxAgeMs, drifting } = window;
  const { powerW, tempC } = gauges;
  return {
    family,
    ...(powerW === undefined ? {} : { powerW: powerW.mean }),
    ...(tempC === undefined ? {} : { tempC: tempC.mean }),
    ...(outboxRecords === undefined ? {} : { outboxRecords }),
    ...(outboxAgeMs === undefined ? {} : { outboxAgeMs }),
    ...(drifting === undefined ? {} : { drifting }),
  };
}
