import { AppError } from '../../../shared/errors.ts';
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
  /** Rows and windows that may still be read for the question. */
  readonly budget: { rows: number };
  /** Memory of the sketches of all cells at a time, about. */
  readonly maxBytes: number;
}

/** What was in the buckets of a stretch. */
export interface Cells {
  /** By the index of the bucket; only where something was. */
  readonly summaries: Map<number, Summary>;
  /** Memory of their sketches. */
  bytes: number;
}

/** Rows and windows that one question may read, at most: some 30 s, in which nobody else is answered. */
export const MAX_ROWS = 2_000_000;

/** The cells take more memory than they may. */
class TooHeavy extends Error {}

/**
 * Fills the cells of a stretch, or, where they would take too much memory, those of parts of it, one after
 * the other. Sketches usually take a kilobyte, and 64 of them where a device means it.
 * @param fill fills the cells of a stretch: `fillDevice` or `fillScope`
 */
export function* fillParts(
  stretch: Stretch,
  fill: (part: Stretch) => Cells,
): Generator<readonly [part: Stretch, cells: Cells]> {
  try {
    yield [stretch, fill(stretch)];
  } catch (error) {
    if (!(error instanceof TooHeavy)) throw error;
    for (const half of halvesOf(stretch)) yield* fillParts(half, fill);
  }
}

function halvesOf({ edges, reads, since, until }: Stretch): Stretch[] {
  const middle = edges.length >> 1;
  const ts = edges[middle] ?? since;
  const parts = reads.map((read) => splitRead(read, ts));
  const first = { edges: edges.slice(0, middle + 1), since, until: Math.min(until, ts) };
  const second = { edges: edges.slice(middle), since: Math.max(since, ts), until };
  return [
    { ...first, reads: parts.flatMap(({ before }) => before ?? []) },
    { ...second, reads: parts.flatMap(({ after }) => after ?? []) },
  ];
}

const MAX_ID = Number.MAX_SAFE_INTEGER;

/** Merges what one device did. */
export function fillDevice(filling: Filling, stretch: Stretch, device: number): Cells {
  const cells: Cells = { summaries: new Map(), bytes: 0 };
  for (const read of stretch.reads) {
    if (read.resolution === 'raw') addRaw(filling, cells, { stretch, read, device });
    else addRows(filling, cells, { stretch, read, table: read.resolution, series: device });
  }
  addUnrolledOf(filling, cells, stretch, device);
  return cells;
}

/** Merges what all devices of a scope did, out of their merged series where there is one. */
export function fillScope(filling: Filling, stretch: Stretch, scope: Scope): Cells {
  const cells: Cells = { summaries: new Map(), bytes: 0 };
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
    addTo(filling, cells, stretch, startOf(row.key), (cell) => mergeRow(cell, row, columns));
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

function addWindow(filling: Filling, cells: Cells, stretch: Stretch, row: RawRow): void {
  addTo(filling, cells, stretch, row.at, (cell) => mergeWindow(cell, row, filling.columns));
}

/** Merges something that lies at `ts` into its cell. */
function addTo(
  filling: Filling,
  cells: Cells,
  { edges }: Stretch,
  ts: number,
  merge: (cell: Summary) => void,
): void {
  spend(filling.budget);
  const bucket = bucketAt(edges, ts);
  const cell = cells.summaries.get(bucket) ?? emptySummary();
  cells.summaries.set(bucket, cell);
  const before = bytesOf(cell, filling.columns);
  merge(cell);
  cells.bytes += bytesOf(cell, filling.columns) - before;
  // What one bucket takes is bounded by the points of a summary.
  if (cells.bytes > filling.maxBytes && edges.length > 2) throw new TooHeavy();
}

function spend(budget: Filling['budget']): void {
  budget.rows -= 1;
  if (budget.rows >= 0) return;
  throw new AppError(
    'usage',
    `the question reads more than ${MAX_ROWS} summaries: ask for longer buckets, a shorter time, or fewer devices`,
  );
}

function bytesOf({ points }: Summary, columns: Filling['columns']): number {
  if (columns === undefined) return 0;
  let bytes = 0;
  for (const { dist } of points.values()) bytes += dist[columns]?.sketch.bytes ?? 0;
  return bytes;
}
