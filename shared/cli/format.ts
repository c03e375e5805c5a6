import Table from 'cli-table3';
import { stringify } from 'csv-stringify/sync';
import { formatDurationMs } from '../units.ts';

export const OUTPUT_FORMATS = ['table', 'json', 'csv'] as const;
export type OutputFormat = (typeof OUTPUT_FORMATS)[number];

type Value = string | number | boolean | null | undefined;

/** One column of a table and of CSV. */
export interface Column<Row> {
  readonly head: string;
  /** What machines read: times in ISO 8601, numbers without units. */
  readonly value: (row: Row) => Value;
  /** What people read, where that is something else. */
  readonly text?: (row: Row) => string;
  readonly align?: 'right';
}

export interface Sheet<Row> {
  readonly rows: readonly Row[];
  readonly columns: readonly Column<Row>[];
  /** What `-o json` prints. */
  readonly json: unknown;
}

/** How the output is to look. */
export interface Look {
  readonly format: OutputFormat;
  readonly color: boolean;
}

const NOTHING = '-';
/** cli-table3 without lines; columns are set apart by two spaces. */
const NO_LINES = {
  ...{ top: '', 'top-mid': '', 'top-left': '', 'top-right': '' },
  ...{ bottom: '', 'bottom-mid': '', 'bottom-left': '', 'bottom-right': '' },
  ...{ left: '', 'left-mid': '', mid: '', 'mid-mid': '', right: '', 'right-mid': '', middle: '  ' },
};

/** Rows as text that ends with a line feed. */
export function formatSheet<Row>(sheet: Sheet<Row>, look: Look): string {
  switch (look.format) {
    case 'json':
      return `${JSON.stringify(sheet.json, null, 2)}\n`;
    case 'csv':
      return formatCsv(sheet);
    case 'table':
      return formatTable(sheet, look.color);
  }
}

function formatCsv<Row>({ rows, columns }: Sheet<Row>): string {
  const lines = rows.map((row) => columns.map((column) => csvValue(column.value(row))));
  return stringify([columns.map((column) => column.head.toLowerCase()), ...lines]);
}

function csvValue(value: Value): string | number {
  if (value === null || value === undefined) return '';
  return typeof value === 'boolean' ? String(value) : value;
}

function formatTable<Row>({ rows, columns }: Sheet<Row>, color: boolean): string {
  const table = new Table({
    chars: NO_LINES,
    style: { head: [], border: [], 'padding-left': 0, 'padding-right': 0 },
    colAligns: columns.map((column) => column.align ?? 'left'),
  });
  const heads = columns.map(({ head }) => (color ? `\u001b[1m${head}\u001b[22m` : head));
  table.push(heads, ...rows.map((row) => columns.map((column) => cellText(column, row))));
  return table
    .toString()
    .split('\n')
    .map((line) => `${line.trimEnd()}\n`)
    .join('');
}

function cellText<Row>(column: Column<Row>, row: Row): string {
  if (column.text !== undefined) return printable(column.text(row)) || NOTHING;
  const value = column.value(row);
  return value === null || value === undefined || value === '' ? NOTHING : printable(String(value));
}

/** Text of a device without what a terminal would obey. */
export function printable(text: string): string {
  return text.replaceAll(/\p{Cc}+/gu, ' ');
}

/** A time for people and machines alike. */
export function formatTime(ts: number): string {
  return Number.isFinite(ts) ? new Date(ts).toISOString() : NOTHING;
}

/** How long ago, for people. */
export function formatAge(ts: number, now: number): string {
  return `${formatDurationMs(Math.max(0, Math.round((now - ts) / 1_000) * 1_000)).replace('0ms', '0s')} ago`;
}

/** A duration of a value that may be missing. */
export function formatMs(ms: number | null | undefined): string {
  return ms === null || ms === undefined ? '' : formatDurationMs(ms);
}

/** A fraction as a percentage with the digits that matter. */
export function formatPercent(fraction: number | null | undefined): string {
  return fraction === null || fraction === undefined ? '' : `${Number((fraction * 100).toPrecision(4))}%`;
}

/** Labels as they are typed. */
export function formatLabels(labels: Readonly<Record<string, string>>): string {
  return Object.entries(labels)
    .sort(([a], [b]) => (a < b ? -1 : 1))
    .map(([key, value]) => `${key}=${value}`)
    .join(',');
}

const EIGHTHS = ['', '▏', '▎', '▍', '▌', '▋', '▊', '▉'] as const;

/** A bar for one value of a series, so that a table of times reads as a picture. */
export function formatBar(value: number, highest: number, width = 20): string {
  if (!(highest > 0) || !(value > 0)) return '';
  const eighths = Math.round((Math.min(value, highest) / highest) * width * 8);
  return '█'.repeat(Math.floor(eighths / 8)) + (EIGHTHS[eighths % 8] ?? '');
}
