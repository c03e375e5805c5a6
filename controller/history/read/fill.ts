import { mergeRow } from '../summary/rows.ts';
import { emptySummary, type Summary } from '../summary/summary.ts';
import { bucketAt } from './buckets.ts';
import { type Read, type RollUp, splitRead } from './plan.ts';
import type { Scope } from './scope.ts';
import { type Columns, type RawRow, type Source, startOf } from './source.ts';
import type { Extent } from './span.ts';
import { mergeWindow } from './window-row.ts';

/** A stretch of buckets, and what is read for it. */
export interface Stretch {
  readonly edges: readonly number[];
  readonly reads: readonly Read[];
  /** What is asked of the buckets; `until` is not included. */
  readonly since: number;
  readonly until: number;
}

export interface Filling {
  readonly source: Source;
  readonly extent: Extent;
  /** The sketches that the question needs; undefined: none. */
  readonly columns: Exclude<Columns, 'all'>;
}

/** Summaries of the buckets of a stretch in which something was, by their index. */
export type Cells = Map<number, Summary>;

const MAX_ID = Number.MAX_SAFE_INTEGER;

/** Merges what one device did. */
export function fillDevice(filling: Filling, stretch: Stretch, device: number): Cells {
  const cells: Cells = new Map();
  for (const read of stretch.reads) {
    if (read.resolution === 'raw') addRaw(filling, cells, { stretch, read, device });
    else addRows(filling, cells, { stretch, read, table: read.resolution, series: device });
  }
  addUnrolledOf(filling, cells, stretch, device);
  return cells;
}

/** Merges what all devices of a scope did, out of their merged series where there is one. */
export function fillScope(filling: Filling, stretch: Stretch, scope: Scope): Cells {
  const cells: Cells = new Map();
  for (const read of stretch.reads) addOfScope(filling, cells, { stretch, read, scope });
  const [only] = scope.devices;
  if (scope.devices.length === 1 && only !== undefined) addUnrolledOf(filling, cells, stretch, only.id);
  else addUnrolled(filling, cells, stretch, scope);
  return cells;
}

interface ScopeRead {
  readonly stretch: Stretch;
  readonly read: Read;
  readonly scope: Scope;
}

function addOfScope(filling: Filling, cells: Cells, { stretch, read, scope }: ScopeRead): void {
  const { resolution } = read;
  if (resolution === 'raw') {
    for (const { id } of scope.devices) addRaw(filling, cells, { stretch, read, device: id });
    return;
  }
  const { merged } = scope;
  const { before, after } = splitRead(read, merged?.fromTs ?? Number.POSITIVE_INFINITY);
  if (after !== undefined && merged !== undefined) {
    addRows(filling, cells, { stretch, read: after, table: resolution, series: merged.series });
  }
  if (before === undefined) return;
  for (const { id } of scope.devices) {
    addRows(filling, cells, { stretch, read: before, table: resolution, series: id });
  }
}

interface RowsOf {
  readonly stretch: Stretch;
  readonly read: Read;
  readonly table: RollUp;
  readonly series: number;
}

function addRows(filling: Filling, cells: Cells, { stretch, read, table, series }: RowsOf): void {
  const { source, columns } = filling;
  for (const row of source.rollUps(table, columns)(series, read.from, read.to)) {
    mergeRow(cellOf(cells, stretch, startOf(row.key)), row, columns);
  }
}

interface RawOf {
  readonly stretch: Stretch;
  readonly read: Read;
  readonly device: number;
}

/** Windows that are in the roll-ups, at edges into which no row fits. */
function addRaw(filling: Filling, cells: Cells, { stretch, read, device }: RawOf): void {
  const span = { from: read.from, to: read.to, above: 0, upTo: filling.extent.rolledUp };
  for (const row of filling.source.rawOf(device, span)) addWindow(filling, cells, stretch, row);
}

/** Windows of a device that are not in the roll-ups yet. */
function addUnrolledOf(filling: Filling, cells: Cells, stretch: Stretch, device: number): void {
  const { rolledUp, unrolled } = filling.extent;
  if (unrolled === undefined) return;
  const from = Math.max(stretch.since, unrolled.first);
  const to = Math.min(stretch.until, unrolled.last + 1);
  if (from >= to) return;
  for (const row of filling.source.rawOf(device, { from, to, above: rolledUp, upTo: MAX_ID })) {
    addWindow(filling, cells, stretch, row);
  }
}

function addUnrolled(filling: Filling, cells: Cells, stretch: Stretch, scope: Scope): void {
  const { rolledUp, unrolled } = filling.extent;
  const { since, until } = stretch;
  if (unrolled === undefined || unrolled.last < since || unrolled.first >= until) return;
  const wanted = scope.isFleet ? undefined : new Set(scope.devices.map(({ id }) => id));
  for (const row of filling.source.unrolledOf(rolledUp, since, until)) {
    if (wanted === undefined || wanted.has(row.device)) addWindow(filling, cells, stretch, row);
  }
}

function addWindow({ columns }: Filling, cells: Cells, stretch: Stretch, row: RawRow): void {
  mergeWindow(cellOf(cells, stretch, row.at), row, columns);
}

function cellOf(cells: Cells, { edges }: Stretch, ts: number): Summary {
  const bucket = bucketAt(edges, ts);
  const known = cells.get(bucket);
  if (known !== undefined) return known;
  const cell = emptySummary();
  cells.set(bucket, cell);
  return cell;
}
