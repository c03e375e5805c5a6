import type { Command } from 'commander';
import { type Column, formatTime } from '../../shared/cli/format.ts';
import { addOutput, type OutputOptions } from '../../shared/cli/output.ts';
import { parseCount, parseTime } from '../../shared/cli/values.ts';
import type { GapRow } from '../api/history-schemas.ts';
import type { Cli } from './context.ts';
import { addExamples, addTarget } from './options.ts';
import { parseTarget, type TargetOptions } from './values.ts';

const COLUMNS: readonly Column<GapRow>[] = [
  { head: 'TIME', value: (row) => formatTime(row.ts) },
  { head: 'DEVICE', value: (row) => row.device },
  { head: 'STATE', value: (row) => row.state },
  { head: 'RECORDS', value: (row) => row.records, align: 'right' },
  { head: 'FROM', value: (row) => row.from, align: 'right' },
  { head: 'TO', value: (row) => row.to, align: 'right' },
  { head: 'BOOT', value: (row) => row.bootId },
  { head: 'REASON', value: (row) => row.reason },
];

interface GapsOptions extends TargetOptions, OutputOptions {
  readonly since?: string;
  readonly until?: string;
  readonly number: string;
}

/** Adds `telemetry gaps`. */
export function addGaps(telemetry: Command, cli: Cli): void {
  const gaps = telemetry
    .command('gaps')
    .description('List records that devices made and the history does not have, the newest first.')
    .option('--since <time>', 'from when: an age such as 24h, or ISO 8601')
    .option('--until <time>', 'up to when')
    .option('-n, --number <count>', 'how many at most', '100')
    .action(async (options: GapsOptions) => {
      const query = queryOf(options, cli.clock.now());
      const rows = await (await cli.connect()).gaps(query);
      cli.print({ rows, columns: COLUMNS, json: { gaps: rows } }, options.output);
      cli.note(rows.length === 0 ? 'no gaps' : summaryOf(rows, rows.length >= query.limit));
    });
  gaps.addHelpText(
    'after',
    `
States:
  counted   the device says that they are lost, and why
  missing   they are not here, and nobody said so yet: they may still be on their way`,
  );
  addExamples(
    addOutput(addTarget(gaps)),
    'telemetry gaps --since 24h',
    'telemetry gaps --device jetson-1 -o json',
  );
}

function queryOf(options: GapsOptions, now: number) {
  const { since, until, number } = options;
  return {
    ...parseTarget(options),
    limit: parseCount(number, '--number'),
    ...(since !== undefined && { since: parseTime(since, now, '--since') }),
    ...(until !== undefined && { until: parseTime(until, now, '--until') }),
  };
}

/** @param isCut there may be more than these */
function summaryOf(rows: readonly GapRow[], isCut: boolean): string {
  const countOf = (state: GapRow['state']): number =>
    rows.filter((row) => row.state === state).reduce((sum, { records }) => sum + records, 0);
  const text = `${countOf('counted')} records are lost, ${countOf('missing')} are missing and may still arrive`;
  return isCut ? `of the newest ${rows.length} gaps, there may be more: ${text}` : text;
}
