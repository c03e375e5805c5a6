import type { Command } from 'commander';
import { type Column, formatTime } from '../../shared/cli/format.ts';
import { addOutput, type OutputOptions } from '../../shared/cli/output.ts';
import { parseChoice, parseCount, parseTime } from '../../shared/cli/values.ts';
import { AppError } from '../../shared/errors.ts';
import type { EventRow } from '../api/schemas.ts';
import type { Cli } from './context.ts';
import { describeEvent, EVENT_KIND_NAMES } from './event-text.ts';
import { addExamples, addTarget } from './options.ts';
import { type Tail, tailLines } from './telemetry-tail.ts';
import { parseTarget, type TargetOptions } from './values.ts';

const COLUMNS: readonly Column<EventRow>[] = [
  { head: 'TIME', value: (row) => formatTime(row.ts) },
  { head: 'DEVICE', value: (row) => row.device },
  { head: 'KIND', value: (row) => row.kind },
  { head: 'WHAT', value: (row) => describeEvent(row.body) },
];

interface EventsOptions extends TargetOptions, OutputOptions {
  readonly kind?: string;
  readonly since?: string;
  readonly until?: string;
  readonly number?: string;
  readonly contains?: string;
  readonly follow?: true;
}

const NEWEST = '50';

/** Adds `events`. */
export function addEvents(program: Command, cli: Cli): void {
  const events = program
    .command('events')
    .description('List what happened on devices, the newest first.')
    .option('--kind <kind>', `only ${EVENT_KIND_NAMES.join(', ')}`)
    .option('--since <time>', 'from when: an age such as 24h, or ISO 8601')
    .option('--until <time>', 'up to when')
    .option('--contains <text>', 'only events in whose text this stands, whatever the case')
    .option('-n, --number <count>', `how many at most (default: ${NEWEST}; with --follow no end)`)
    .option('-f, --follow', 'print events as they come from now on, until Ctrl-C')
    .action(async (options: EventsOptions) => {
      if (options.follow === true) return tailLines(cli, tailOf(options));
      const rows = await (await cli.connect()).events(queryOf(options, cli.clock.now()));
      cli.print({ rows, columns: COLUMNS, json: { events: rows } }, options.output);
      if (rows.length === 0) cli.note('no events');
    });
  addExamples(
    addOutput(addTarget(events)),
    'events --kind switch --since 1h',
    'events --device jetson-1 -n 10',
    'events --contains camera --since 7d',
    'events --follow -l site=lab -o json',
  );
}

function queryOf(options: EventsOptions, now: number) {
  const { since, until, number = NEWEST } = options;
  return {
    ...parseTarget(options),
    ...filterOf(options),
    limit: parseCount(number, '--number'),
    ...(since !== undefined && { since: parseTime(since, now, '--since') }),
    ...(until !== undefined && { until: parseTime(until, now, '--until') }),
  };
}

function filterOf({ kind, contains }: EventsOptions) {
  return {
    ...(kind !== undefined && { kind: parseChoice(kind, EVENT_KIND_NAMES, '--kind') }),
    ...(contains !== undefined && { contains }),
  };
}

function tailOf(options: EventsOptions): Tail {
  const { since, until, number, output } = options;
  if (since !== undefined || until !== undefined) {
    throw new AppError('usage', '--follow is about what comes from now on; leave --since and --until away');
  }
  if (output === 'csv') throw new AppError('usage', '--follow prints lines or json; leave -o csv away');
  return {
    ...{ target: parseTarget(options), what: 'events', output },
    ...filterOf(options),
    most: number === undefined ? undefined : parseCount(number, '--number'),
  };
}
