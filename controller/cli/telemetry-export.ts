import { extname } from 'node:path';
import { pipeline } from 'node:stream/promises';
import type { Command } from 'commander';
import { parseChoice, parseTime } from '../../shared/cli/values.ts';
import { AppError, isSystemError } from '../../shared/errors.ts';
import type { ExportFormat, ExportQuery, ExportResolution, ExportTable } from '../api/history-schemas.ts';
import type { Cli } from './context.ts';
import { addExamples, addTarget } from './options.ts';
import { checkPlace, saveStream } from './save.ts';
import { formatBytes } from './status.ts';
import type { Body } from './stream.ts';
import { parseTarget, type TargetOptions } from './values.ts';

/** What a row of each table is; the types keep these complete. */
const TABLE_HELP = {
  windows: 'a device in a span of time: counters, gauges, energy',
  points: 'an operating point of a device in a span of time: counts, and percentiles of each distribution',
  events: 'an event',
} as const satisfies Record<ExportTable, string>;
const RESOLUTION_HELP = {
  raw: 'as devices sent them',
  minute: 'a minute',
  hour: 'an hour',
  day: 'a day',
} as const satisfies Record<ExportResolution, string>;
const FORMAT_NAMES = { parquet: true, csv: true } as const satisfies Record<ExportFormat, true>;

const TABLES = Object.keys(TABLE_HELP) as ExportTable[];
const RESOLUTIONS = Object.keys(RESOLUTION_HELP) as ExportResolution[];
const FORMATS = Object.keys(FORMAT_NAMES) as ExportFormat[];

/** Standard output, where a file is named. */
const STDOUT = '-';

interface ExportOptions extends TargetOptions {
  readonly out: string;
  readonly format?: string;
  readonly table: string;
  readonly resolution: string;
  readonly since: string;
  readonly until?: string;
  readonly force?: true;
}

/** Adds `telemetry export`. */
export function addExport(telemetry: Command, cli: Cli): void {
  const command = telemetry
    .command('export')
    .description('Write history to a file for a notebook.')
    .requiredOption('--out <file>', `where to; ${STDOUT} is standard output, for csv`)
    .option('--format <name>', `${FORMATS.join(' or ')} (default: by the ending of the file)`)
    .option('--table <name>', `${TABLES.join(', ')} (see below)`, 'points')
    .option('--resolution <span>', `${RESOLUTIONS.join(', ')}: how much time a row is about`, 'hour')
    .option('--since <time>', 'from when: an age such as 24h, or ISO 8601', '24h')
    .option('--until <time>', 'up to when (default: now)')
    .option('--force', 'replace a file that is there')
    .action((options: ExportOptions) => exportTo(cli, options));
  const tables = TABLES.map((name) => `  ${name.padEnd(8)} ${TABLE_HELP[name]}`);
  command.addHelpText('after', `\nTables, with what a row is about:\n${tables.join('\n')}`);
  addExamples(
    addTarget(command),
    'telemetry export --out points.parquet --since 30d',
    'telemetry export --out windows.csv --table windows --resolution raw --device jetson-1 --since 1h',
    'telemetry export --out - --format csv --table events --since 7d',
  );
}

async function exportTo(cli: Cli, options: ExportOptions): Promise<void> {
  const query = queryOf(options, cli.clock.now());
  const { out, force = false } = options;
  if (out !== STDOUT) await checkPlace(out, force);
  const api = await cli.connect();
  const end = new AbortController();
  void cli.stopped().then(() => end.abort());
  try {
    const body = await api.exported(query, end.signal);
    if (out === STDOUT) await pass(body, cli);
    else cli.note(`wrote ${out}: ${formatBytes(await saveStream(out, body))}`);
  } catch (error) {
    if (!end.signal.aborted) throw error;
    throw new AppError('system', 'stopped before the end of the export');
  } finally {
    end.abort();
  }
}

function queryOf(options: ExportOptions, now: number): ExportQuery {
  const { table, resolution, since, until } = options;
  return {
    ...parseTarget(options),
    table: parseChoice(table, TABLES, '--table'),
    resolution: parseChoice(resolution, RESOLUTIONS, '--resolution'),
    format: formatOf(options),
    since: parseTime(since, now, '--since'),
    ...(until !== undefined && { until: parseTime(until, now, '--until') }),
  };
}

function formatOf({ out, format }: ExportOptions): ExportFormat {
  const given = format === undefined ? undefined : parseChoice(format, FORMATS, '--format');
  if (out === STDOUT) {
    if (given !== 'parquet') return 'csv';
    throw new AppError('usage', '--out: parquet is written to a file, not to standard output');
  }
  const known = given ?? FORMATS.find((name) => extname(out).toLowerCase() === `.${name}`);
  if (known !== undefined) return known;
  throw new AppError('usage', `--out: '${out}' ends with neither .parquet nor .csv; say --format`);
}

async function pass(body: Body, cli: Cli): Promise<void> {
  try {
    await pipeline(body, cli.stdout, { end: false });
  } catch (error) {
    // A reader that has left (`| head`) has enough.
    if (isSystemError(error, 'EPIPE')) return;
    throw error instanceof AppError ? error : new AppError('system', 'standard output', { cause: error });
  }
}
