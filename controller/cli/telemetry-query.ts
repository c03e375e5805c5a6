import { type Command, Option } from 'commander';
import { parseChoice, parseDurationMs, parseTime } from '../../shared/cli/values.ts';
import { localZone, parseZone } from '../../shared/cli/zone.ts';
import { AppError } from '../../shared/errors.ts';
import type { CalendarBucket, Split, TelemetryQuery } from '../api/history-schemas.ts';
import type { Cli } from './context.ts';
import { METRIC_NAMES, metricHelp } from './metric-help.ts';
import { addExamples, addTarget } from './options.ts';
import { type Answered, printAnswer, QUERY_FORMATS, type QueryFormat } from './telemetry-answer.ts';
import { parseTarget, type TargetOptions } from './values.ts';

/** What an answer can be split by; the type keeps it complete. */
const SPLITS = Object.keys({
  device: true,
  level: true,
  family: true,
} satisfies Record<Split, true>) as Split[];

/** Words for buckets of the calendar. */
const CALENDAR: Readonly<Record<string, CalendarBucket>> = {
  ...{ day: 'day', '1d': 'day' },
  ...{ week: 'week', '1w': 'week', '7d': 'week' },
  month: 'month',
};

const MINUTE_MS = 60_000;
/** A picture has room for about so many values; more are no more to see. */
const PLOTTED = 60;
/** Lengths of buckets for a picture, none shorter than windows are by default. */
const PLOT_BUCKETS_MS = [
  ...[10_000, 30_000],
  ...[1, 2, 5, 10, 15, 30, 60, 120, 180, 360, 720].map((minutes) => minutes * MINUTE_MS),
] as const;
const DAY_MS = 1_440 * MINUTE_MS;

interface QueryOptions extends TargetOptions {
  readonly metric: string;
  readonly since: string;
  readonly until?: string;
  readonly bucket?: string;
  readonly agg?: string;
  readonly by?: string;
  readonly timeZone?: string;
  readonly output: QueryFormat;
  readonly plot?: true;
}

/** Adds `telemetry query`. */
export function addQuery(telemetry: Command, cli: Cli): void {
  const query = telemetry
    .command('query')
    .description('Ask the history for a metric, over time or as one number.')
    .requiredOption('--metric <name>', 'what to ask for (see below)')
    .option('--since <time>', 'from when: an age such as 24h, or ISO 8601', '1h')
    .option('--until <time>', 'up to when (default: now)')
    .option(
      '--bucket <duration>',
      'one value per this much time, or per day, week or month (default: one value for all of it)',
    )
    .option('--agg <name>', 'count, sum, mean, min, max, rate, or a percentile such as p95 or p99.9')
    .option('--by <key>', `one series per ${SPLITS.join(', ')}`)
    .option(
      '--time-zone <name>',
      "whose days and hours are meant, for example Europe/Berlin (default: the terminal's; UTC for json and csv)",
    )
    .addOption(new Option('-o, --output <format>', 'how to print it').choices(QUERY_FORMATS).default('table'))
    .addOption(new Option('--plot', 'the same as -o plot').conflicts('output'))
    .action((options: QueryOptions) =>
      answer(cli, options.plot === true ? { ...options, output: 'plot' } : options),
    );
  query.addHelpText('after', `\n${metricHelp()}`);
  addExamples(
    addTarget(query),
    'telemetry query --metric latencyMs --since 1h --bucket 1m --agg p95',
    'telemetry query --metric share --by level --since 24h -o csv',
    'telemetry query --metric powerW -l site=lab --since 7d --bucket day --time-zone Europe/Berlin',
    'telemetry query --metric latencyMs --agg p99 --by device --since 6h --plot',
  );
}

async function answer(cli: Cli, options: QueryOptions): Promise<void> {
  const question = questionOf(options, cli.clock.now());
  const zone = question.timeZone;
  const api = await cli.connect();
  const answered: Answered = { answer: await api.telemetry(question), by: question.by, zone };
  printAnswer(cli, answered, options.output);
}

/** The zone that times are read, cut and printed in. */
function zoneOf({ timeZone, output }: QueryOptions): string {
  if (timeZone !== undefined) return parseZone(timeZone, '--time-zone');
  return output === 'table' || output === 'plot' ? localZone() : 'UTC';
}

function questionOf(options: QueryOptions, now: number): TelemetryQuery & { timeZone: string } {
  const { agg, by, output } = options;
  const metric = parseChoice(options.metric, METRIC_NAMES, '--metric');
  const timeZone = zoneOf(options);
  const since = parseTime(options.since, now, '--since', timeZone);
  const until = options.until === undefined ? undefined : parseTime(options.until, now, '--until', timeZone);
  if (until !== undefined && until <= since) throw new AppError('usage', '--until is not after --since');
  return {
    ...parseTarget(options),
    ...{ metric, since, timeZone },
    ...(until !== undefined && { until }),
    ...(options.bucket !== undefined && parseBucket(options.bucket)),
    ...(options.bucket === undefined && output === 'plot' && plotBucket((until ?? now) - since)),
    ...(agg !== undefined && { aggregate: agg }),
    ...(by !== undefined && { by: parseChoice(by, SPLITS, '--by') }),
  };
}

type Bucket = Pick<TelemetryQuery, 'bucket' | 'bucketMs'>;

function parseBucket(text: string): Bucket {
  const bucket = Object.hasOwn(CALENDAR, text) ? CALENDAR[text] : undefined;
  if (bucket !== undefined) return { bucket };
  return { bucketMs: Math.round(parseDurationMs(text, '--bucket')) };
}

/** Buckets that make a picture of a range, where nobody says which. */
function plotBucket(rangeMs: number): Bucket {
  const atLeastMs = rangeMs / PLOTTED;
  const bucketMs = PLOT_BUCKETS_MS.find((length) => length >= atLeastMs);
  if (bucketMs !== undefined) return { bucketMs };
  if (atLeastMs <= DAY_MS) return { bucket: 'day' };
  return { bucket: atLeastMs <= 7 * DAY_MS ? 'week' : 'month' };
}
