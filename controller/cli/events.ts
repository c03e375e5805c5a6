import type { Command } from 'commander';
import { type Column, formatTime } from '../../shared/cli/format.ts';
import { addOutput, type OutputOptions } from '../../shared/cli/output.ts';
import { parseChoice, parseCount, parseTime } from '../../shared/cli/values.ts';
import { EVENT_KINDS } from '../../shared/protocol/event.ts';
import type { EventRow } from '../api/schemas.ts';
import type { Cli } from './context.ts';
import { addExamples, addTarget } from './options.ts';
import { parseTarget, type TargetOptions } from './values.ts';

const KINDS = [...EVENT_KINDS, 'alarm'] as const;

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
  readonly number: string;
}

/** Adds `events`. */
export function addEvents(program: Command, cli: Cli): void {
  const events = program
    .command('events')
    .description('List what happened on devices, the newest first.')
    .option('--kind <kind>', `only ${KINDS.join(', ')}`)
    .option('--since <time>', 'from when: an age such as 24h, or ISO 8601')
    .option('--until <time>', 'up to when')
    .option('-n, --number <count>', 'how many at most', '50')
    .action(async (options: EventsOptions) => {
      const rows = await (await cli.connect()).events(queryOf(options, cli.clock.now()));
      cli.print({ rows, columns: COLUMNS, json: { events: rows } }, options.output);
      if (rows.length === 0) cli.note('no events');
    });
  addExamples(
    addOutput(addTarget(events)),
    'events --kind switch --since 1h',
    'events --device jetson-1 -n 10',
  );
}

function queryOf(options: EventsOptions, now: number) {
  const { kind, since, until, number } = options;
  return {
    ...parseTarget(options),
    limit: parseCount(number, '--number'),
    ...(kind !== undefined && { kind: parseChoice(kind, KINDS, '--kind') }),
    ...(since !== undefined && { since: parseTime(since, now, '--since') }),
    ...(until !== undefined && { until: parseTime(until, now, '--until') }),
  };
}

/** An event in a line. */
export function describeEvent(body: EventRow['body']): string {
  switch (body.kind) {
    case 'boot':
      return `agent ${body.version} started`;
    case 'switch': {
      const { from, to, reason, unreported } = body;
      const more = unreported > 0 ? ` (and ${unreported} switches before it)` : '';
      return `${pointOf(from)} -> ${pointOf(to)}: ${reason}${more}`;
    }
    case 'violation':
      return `${body.limit} ${body.state === 'begins' ? 'cannot be met' : 'can be met again'}: ${body.reason}`;
    case 'shed':
      return `${body.frames === 1 ? '1 frame' : `${body.frames} frames`} shed: ${body.reason}`;
    case 'drift':
      return `level ${pointOf(body)} ${body.state === 'begins' ? 'drifts' : 'drifts no more'}: ${body.reason}`;
    case 'quarantine':
      return `${pointOf(body)} is ${body.state === 'begins' ? 'kept out of' : 'let into'} service: ${body.reason}`;
    case 'gap':
      return `${body.records} records lost (${body.from}-${body.to}): ${body.reason}`;
    case 'fault':
    case 'alarm':
      return `${body.what}: ${body.reason}`;
  }
}

function pointOf({ pe, level }: { readonly pe?: string; readonly level: number }): string {
  return pe === undefined ? String(level) : `${pe}/${level}`;
}
