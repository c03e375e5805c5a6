import { type Column, formatBar, OUTPUT_FORMATS } from '../../shared/cli/format.ts';
import { formatTimeIn } from '../../shared/cli/zone.ts';
import { formatDurationMs, formatEnergyJ, formatPowerW } from '../../shared/units.ts';
import type { Split, TelemetryAnswer } from '../api/history-schemas.ts';
import type { Cli } from './context.ts';
import { formatBytes } from './status.ts';
import { plotAnswer } from './telemetry-plot.ts';

/** How an answer can be printed: as all data, or as a picture. */
export const QUERY_FORMATS = [...OUTPUT_FORMATS, 'plot'] as const;
export type QueryFormat = (typeof QUERY_FORMATS)[number];

export interface Answered {
  readonly answer: TelemetryAnswer;
  readonly by: Split | undefined;
  /** In which its times are printed. */
  readonly zone: string;
}

/** Prints an answer, and on standard error what has to be known of it. */
export function printAnswer(cli: Cli, answered: Answered, format: QueryFormat): void {
  const { answer, zone } = answered;
  const rows = rowsOf(answer);
  if (format !== 'plot') {
    cli.print({ rows, columns: columnsOf(answered, rows), json: answer }, format);
  } else if (rows.length > 0) {
    const { lines, left } = plotAnswer(answer, zone, cli.look);
    cli.write(lines.map((line) => `${line}\n`).join(''));
    if (left > 0) cli.note(`${counted(left, 'more series is', 'more series are')} not drawn`);
  }
  if (rows.length === 0) cli.note('no windows in that time');
  else if (format === 'table' || format === 'plot') cli.note(sourceOf(answered));
  for (const line of oddities(answer)) cli.note(line);
}

interface PointRow {
  readonly key: string;
  readonly ts: number;
  readonly value: number;
  readonly count: number;
}

function rowsOf(answer: TelemetryAnswer): PointRow[] {
  return answer.series.flatMap(({ key, points }) => points.map((point) => ({ key, ...point })));
}

function columnsOf({ answer, by, zone }: Answered, rows: readonly PointRow[]): Column<PointRow>[] {
  const highest = rows.reduce((most, { value }) => Math.max(most, value), 0);
  const value = (row: PointRow): number => row.value;
  return [
    { head: 'TIME', value: (row) => formatTimeIn(row.ts, zone) },
    { head: by?.toUpperCase() ?? 'KEY', value: (row) => row.key },
    {
      head: 'VALUE',
      value,
      text: (row) => `${valueText(row.value, answer.unit)}  ${formatBar(row.value, highest)}`.trimEnd(),
    },
    { head: 'COUNT', value: (row) => row.count, align: 'right' },
  ];
}

/** A value as people read it; where nothing is known of its unit, four digits with it. */
function valueText(value: number, unit: string): string {
  switch (unit) {
    case 'W':
      return formatPowerW(value);
    case 'J':
      return formatEnergyJ(value);
    case 'B':
      return formatBytes(value).replace(' ', '');
    case 'Hz':
      return value >= 1e6 ? `${Number((value / 1e6).toPrecision(4))}MHz` : `${Math.round(value)}Hz`;
    default:
      return `${Number(value.toPrecision(4))}${unit}`;
  }
}

/** Of which devices, from what, and in which times. */
function sourceOf({ answer, zone }: Answered): string {
  const { devices, resolutionMs } = answer;
  const from = resolutionMs === 0 ? 'windows' : `summaries of up to ${formatDurationMs(resolutionMs)}`;
  return `${counted(devices, 'device', 'devices')}, from ${from}; times of ${zone}`;
}

/** What makes the values something else than what was asked for. */
function oddities({ redated, late, lost, bucketMs, resolutionMs }: TelemetryAnswer): string[] {
  return [
    ...(lost > 0 ? [`${counted(lost, 'record', 'records')} lost in that time: see telemetry gaps`] : []),
    ...(late > 0 ? [`${counted(late, 'window', 'windows')} arrived late`] : []),
    ...(redated > 0
      ? [`${counted(redated, 'window', 'windows')} dated by the controller: the device did not know the time`]
      : []),
    ...(resolutionMs > bucketMs
      ? [`nothing finer than ${formatDurationMs(resolutionMs)} is kept of some of that time`]
      : []),
  ];
}

function counted(count: number, one: string, many: string): string {
  return `${count} ${count === 1 ? one : many}`;
}
