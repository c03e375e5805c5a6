import { summaryOfRow } from '../summary/rows.ts';
import { addWindow, emptySummary, type Summary, summaryOfWindow } from '../summary/summary.ts';
import type { SpanRow } from './export-columns.ts';
import { floorTo, type Resolution, ROW_MS, type RollUp } from './plan.ts';
import type { KnownDevice } from './scope.ts';
import { type Source, startOf } from './source.ts';
import { windowOf } from './window-row.ts';

/** Where the next page begins: at a device, a time, and an id where several rows have that time. */
export interface ExportCursor {
  readonly device: number;
  readonly from: number;
  readonly id: number;
}

/** What is wanted of whom; `until` is not included. */
export interface SpanRange {
  readonly devices: readonly KnownDevice[];
  readonly resolution: Resolution;
  readonly since: number;
  readonly until: number;
}

/** Rows of a stretch of time that are looked for at once, and held as they are stored. */
const STRETCH_ROWS = 500;
const MAX_ID = Number.MAX_SAFE_INTEGER;

/** A row, and where to go on after it. */
export interface Step {
  readonly row: SpanRow;
  readonly next: ExportCursor;
}

/**
 * What devices did, one device after the other, each by time, from a cursor on. The history must not change
 * meanwhile; between two pages it may.
 */
export function* spansFrom(
  source: Source,
  range: SpanRange,
  cursor: ExportCursor | undefined,
): Generator<Step> {
  const rolledUp = source.rolledUp();
  for (const device of range.devices.toSorted((a, b) => a.id - b.id)) {
    if (cursor !== undefined && device.id < cursor.device) continue;
    const start = cursor?.device === device.id ? cursor : { device: device.id, from: range.since, id: 0 };
    const { resolution } = range;
    if (resolution === 'raw') yield* rawSpans(source, { device, start, until: range.until });
    else yield* rollUpSpans(source, { device, start, until: range.until, table: resolution, rolledUp });
  }
}

interface DeviceRange {
  readonly device: KnownDevice;
  readonly start: ExportCursor;
  readonly until: number;
}

function* rawSpans(source: Source, { device, start, until }: DeviceRange): Generator<Step> {
  for (const row of source.rawOf(device.id, { from: start.from, to: until, above: 0, upTo: MAX_ID })) {
    if (row.at === start.from && row.id <= start.id) continue;
    const window = windowOf(row);
    const summary = summaryOfWindow(window, row.flags);
    const { durationMs } = window;
    const span = { start: Math.round(row.at - durationMs / 2), spanMs: durationMs };
    yield {
      row: { device: device.name, ...span, summary },
      next: { device: device.id, from: row.at, id: row.id },
    };
  }
}

type RollUpRange = DeviceRange & { readonly table: RollUp; readonly rolledUp: number };

function* rollUpSpans(source: Source, range: RollUpRange): Generator<Step> {
  const { device, start, until, table } = range;
  const lengthMs = ROW_MS[table];
  const end = Math.ceil(until / lengthMs) * lengthMs;
  for (let from = floorTo(start.from, lengthMs); from < end; from += STRETCH_ROWS * lengthMs) {
    const to = Math.min(end, from + STRETCH_ROWS * lengthMs);
    for (const [rowStart, summary] of stretchOf(source, range, from, to)) {
      yield {
        row: { device: device.name, start: rowStart, spanMs: lengthMs, summary },
        next: { device: device.id, from: rowStart + lengthMs, id: 0 },
      };
    }
  }
}

/**
 * Rows of a stretch of time with what is not in them yet, by their begin. One at a time: decoded, a row of a
 * device that means it takes megabytes.
 */
function* stretchOf(
  source: Source,
  { device, table, rolledUp }: RollUpRange,
  from: number,
  to: number,
): Generator<[start: number, summary: Summary]> {
  const rows = [...source.rollUps(table, 'all')(device.id, from, to)].reverse();
  const rowBefore = (end: number): [number, Summary] | undefined => {
    const row = rows.at(-1);
    if (row === undefined || startOf(row.key) >= end) return undefined;
    rows.pop();
    return [startOf(row.key), summaryOfRow(row, 'all')];
  };
  const rowsBefore = function* (end: number): Generator<[number, Summary]> {
    for (let row = rowBefore(end); row !== undefined; row = rowBefore(end)) yield row;
  };
  let open: [start: number, summary: Summary] | undefined;
  for (const window of source.rawOf(device.id, { from, to, above: rolledUp, upTo: MAX_ID })) {
    const start = floorTo(window.at, ROW_MS[table]);
    if (open?.[0] !== start) {
      if (open !== undefined) yield open;
      yield* rowsBefore(start);
      open = rowBefore(start + 1) ?? [start, emptySummary()];
    }
    addWindow(open[1], windowOf(window), window.flags);
  }
  if (open !== undefined) yield open;
  yield* rowsBefore(to);
}
