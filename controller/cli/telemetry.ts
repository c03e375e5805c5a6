import type { Command } from 'commander';
import { type Column, formatBar, formatTime } from '../../shared/cli/format.ts';
import { addOutput, type OutputOptions } from '../../shared/cli/output.ts';
import { parseChoice, parseDurationMs, parseTime } from '../../shared/cli/values.ts';
import { AppError } from '../../shared/errors.ts';
import type { Metric, TelemetryAnswer, TelemetryQuery } from '../api/schemas.ts';
import type { Cli } from './context.ts';
import { addExamples, addTarget } from './options.ts';
import { parseTarget, type TargetOptions } from './values.ts';

/** What each metric tells, for the help; the type keeps it complete. */
const METRIC_HELP = {
  latencyMs: 'latency of an inference',
  accuracy: 'top-1 accuracy of the levels in use',
  inferences: 'inferences made',
  misses: 'inferences that missed the latency budget',
  missShare: 'their share',
  level: 'level in use',
  share: 'share of inferences, with --by level',
  switches: 'changes of level',
  sheds: 'frames given up because no level would have been in time',
  skipped: 'frames that were left out',
  unreadable: 'frames that could not be read',
  failed: 'inferences that failed',
  slowdown: 'latency relative to the profile',
  price: 'accuracy per joule that the manager reckoned with',
  windows: 'telemetry windows',
} as const satisfies Record<Metric, string>;
const METRIC_NAMES = Object.keys(METRIC_HELP) as Metric[];
const KEYS = ['level', 'device'] as const;

interface QueryOptions extends TargetOptions, OutputOptions {
  readonly metric: string;
  readonly since: string;
  readonly until?: string;
  readonly bucket?: string;
  readonly agg?: string;
  readonly by?: string;
}

/** Adds `telemetry query`. */
export function addTelemetry(program: Command, cli: Cli): void {
  const telemetry = program.command('telemetry').description('The history of what devices measured.');
  const query = telemetry
    .command('query')
    .description('Ask the history for a metric, over time or as one number.')
    .requiredOption('--metric <name>', 'what to ask for (see below)')
    .option('--since <time>', 'from when: an age such as 24h, or ISO 8601', '1h')
    .option('--until <time>', 'up to when (default: now)')
    .option('--bucket <duration>', 'one value per this much time (default: one value for all of it)')
    .option('--agg <name>', 'count, sum, mean, min, max, rate, or a percentile such as p95')
    .option('--by <key>', `one series per ${KEYS.join(' or ')}`)
    .action(async (options: QueryOptions) => {
      const question = questionOf(options, cli.clock.now());
      const answer = await (await cli.connect()).telemetry(question);
      const rows = rowsOf(answer);
      const columns = columnsOf(answer, rows, options.by);
      cli.print({ rows, columns, json: answer }, options.output);
      if (rows.length === 0) cli.note('no windows in that time');
    });
  const metrics = METRIC_NAMES.map((name) => `  ${name.padEnd(11)} ${METRIC_HELP[name]}\n`).join('');
  query.addHelpText('after', `\nMetrics:\n${metrics.trimEnd()}`);
  addExamples(
    addOutput(addTarget(query)),
    'telemetry query --metric latencyMs --since 1h --bucket 1m --agg p95',
    'telemetry query --metric share --by level --since 24h -o csv',
  );
}

function questionOf(options: QueryOptions, now: number): TelemetryQuery {
  const question: TelemetryQuery = {
    ...parseTarget(options),
    metric: parseChoice(options.metric, METRIC_NAMES, '--metric'),
    since: parseTime(options.since, now, '--since'),
  };
  if (options.until !== undefined) question.until = parseTime(options.until, now, '--until');
  if (question.until !== undefined && question.until <= question.since) {
    throw new AppError('usage', '--until is not after --since');
  }
  if (options.bucket !== undefined)
    question.bucketMs = Math.round(parseDurationMs(options.bucket, '--bucket'));
  if (options.agg !== undefined) question.aggregate = options.agg;
  if (options.by !== undefined) question.by = parseChoice(options.by, KEYS, '--by');
  return question;
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

function columnsOf(
  answer: TelemetryAnswer,
  rows: readonly PointRow[],
  by: string | undefined,
): Column<PointRow>[] {
  const highest = Math.max(0, ...rows.map((row) => row.value));
  const value = (row: PointRow): number => row.value;
  return [
    { head: 'TIME', value: (row) => formatTime(row.ts) },
    { head: by?.toUpperCase() ?? 'KEY', value: (row) => row.key },
    {
      head: 'VALUE',
      value,
      text: (row) =>
        `${Number(row.value.toPrecision(4))}${answer.unit}  ${formatBar(row.value, highest)}`.trimEnd(),
    },
    { head: 'COUNT', value: (row) => row.count, align: 'right' },
  ];
}
