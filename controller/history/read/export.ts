import { stringify } from 'csv-stringify/sync';
import type { Sqlite } from '../../../shared/sqlite.ts';
import type { ExportFormat, ExportResolution, ExportTable } from '../../api/history-schemas.ts';
import { eventOf, type StoredEvent } from './events.ts';
import { type Column, EVENT_COLUMNS, POINT_COLUMNS, WINDOW_COLUMNS } from './export-columns.ts';
import { type ExportCursor, type SpanRange, spansFrom } from './export-spans.ts';
import { type Cell, encodeEnd, encodeRowGroup, type RowGroup, type TypedColumn } from './parquet.ts';
import { scopeOf } from './scope.ts';
import { createSource, type Source } from './source.ts';
import { extentOf } from './span.ts';

export interface ExportQuestion {
  readonly table: ExportTable;
  readonly resolution: ExportResolution;
  readonly format: ExportFormat;
  /** Whom it is about; undefined: all. */
  readonly devices: readonly string[] | undefined;
  readonly since: number;
  /** Not included. */
  readonly until: number;
  /** Where the page before ended; undefined: the first page. */
  readonly cursor: ExportCursor | undefined;
  /** Bytes of the file before this page. */
  readonly offset: number;
  /** Rows of a page, about. */
  readonly rows: number;
}

/** A piece of a file, and what is needed to go on. */
export interface ExportPage {
  readonly bytes: Uint8Array<ArrayBuffer>;
  /** What the end of a Parquet file says about this piece; undefined where it has no rows, and for CSV. */
  readonly group: RowGroup | undefined;
  /** Undefined: there is no more. */
  readonly next: ExportCursor | undefined;
}

export interface ExportCore {
  /** A page of a file: one row group, or lines. Pages are of different moments, each row of one. */
  exportPage(question: ExportQuestion): ExportPage;
}

const COLUMNS = {
  windows: WINDOW_COLUMNS,
  points: POINT_COLUMNS,
  events: EVENT_COLUMNS,
} as const satisfies Record<ExportTable, readonly TypedColumn[]>;

/** Rows of an export, and where to go on. */
interface Page {
  readonly rows: readonly (readonly Cell[])[];
  readonly next: ExportCursor | undefined;
}

/** Pages of exports, on a connection that is only read. */
export function createExportCore(sqlite: Sqlite): ExportCore {
  const source = createSource(sqlite);
  const events = eventPages(sqlite);
  const read = sqlite.transaction((question: ExportQuestion): Page => {
    if (question.table === 'events') return events(question);
    return spanPage(source, question, question.table);
  });
  return {
    exportPage: (question) => {
      const { rows, next } = read(question);
      const columns = COLUMNS[question.table];
      if (question.format === 'csv') {
        return { bytes: csvOf(columns, rows, question.offset === 0), group: undefined, next };
      }
      if (rows.length === 0) return { bytes: new Uint8Array(0), group: undefined, next };
      return { ...encodeRowGroup(columns, rows, question.offset), next };
    },
  };
}

/** The end of an exported file, after its last page. `offset`: bytes before it. */
export function exportEnd(
  { table, format }: Pick<ExportQuestion, 'table' | 'format'>,
  groups: readonly RowGroup[],
  offset: number,
): Uint8Array<ArrayBuffer> {
  return format === 'csv' ? new Uint8Array(0) : encodeEnd(COLUMNS[table], groups, offset);
}

function csvOf(
  columns: readonly TypedColumn[],
  rows: readonly (readonly Cell[])[],
  isFirst: boolean,
): Uint8Array<ArrayBuffer> {
  const lines = rows.map((row) =>
    row.map((cell, index) => {
      if (cell === undefined) return '';
      return columns[index]?.type === 'time' ? new Date(Number(cell)).toISOString() : String(cell);
    }),
  );
  const head = isFirst ? [columns.map(({ name }) => name)] : [];
  return new Uint8Array(Buffer.from(stringify([...head, ...lines])));
}

function cellsOf<T>(columns: readonly Column<T>[], row: T): Cell[] {
  return columns.map(({ value }) => value(row));
}

function spanPage(source: Source, question: ExportQuestion, table: 'windows' | 'points'): Page {
  const rows: Cell[][] = [];
  for (const { row, next } of spansFrom(source, rangeOf(source, question), question.cursor)) {
    if (table === 'windows') rows.push(cellsOf(WINDOW_COLUMNS, row));
    else
      for (const point of row.summary.points.values()) rows.push(cellsOf(POINT_COLUMNS, { ...row, point }));
    if (rows.length >= question.rows) return { rows, next };
  }
  return { rows, next: undefined };
}

function rangeOf(source: Source, { devices, resolution, since, until }: ExportQuestion): SpanRange {
  const scope = scopeOf(source, devices, () => undefined);
  const { first = until } = extentOf(source, undefined, until);
  return { devices: scope.devices, resolution, since: Math.max(since, first), until };
}

/** Events by their time; the cursor's `from` and `id` are those of the last one. */
function eventPages(sqlite: Sqlite): (question: ExportQuestion) => Page {
  const select = sqlite.prepare<Record<string, unknown>, StoredEvent & { readonly id: number }>(
    `SELECT events.id AS id, series.name AS device, ts, flags, events.kind AS kind, body
     FROM events JOIN series ON series.id = events.device
     WHERE ts >= @from AND (ts, events.id) > (@from, @id) AND ts < @until
       AND (@devices IS NULL OR series.name IN (SELECT value FROM json_each(@devices)))
     ORDER BY ts, events.id LIMIT @rows`,
  );
  return ({ devices, since, until, cursor, rows: limit }) => {
    const rows = select.all({
      from: cursor?.from ?? since,
      id: cursor?.id ?? 0,
      until,
      devices: devices === undefined ? null : JSON.stringify(devices),
      rows: limit,
    });
    const last = rows.at(-1);
    const isMore = last !== undefined && rows.length === limit;
    return {
      rows: rows.map((row) => cellsOf(EVENT_COLUMNS, eventOf(row))),
      next: isMore ? { device: 0, from: last.ts, id: last.id } : undefined,
    };
  };
}
