import type { Command } from 'commander';
import { type Column, formatAge, formatTime } from '../../shared/cli/format.ts';
import { addOutput, type OutputOptions } from '../../shared/cli/output.ts';
import { parseChoice, parseCount } from '../../shared/cli/values.ts';
import type { AlertQuery, AlertRow, AlertState } from '../api/alert-schemas.ts';
import type { Cli } from './context.ts';
import { addExamples, addTarget } from './options.ts';
import { parseTarget, type TargetOptions } from './values.ts';

/** What each state means, for the help; the type keeps it complete. */
const STATE_HELP = {
  pending: 'it is so, but not yet for long enough',
  firing: 'it is so',
  resolved: 'it is over',
} as const satisfies Record<AlertState, string>;
const STATES = Object.keys(STATE_HELP) as AlertState[];

interface AlertsOptions extends TargetOptions, OutputOptions {
  readonly state?: string;
  readonly number: string;
}

/** Adds `alerts list`. */
export function addAlerts(program: Command, cli: Cli): void {
  const alerts = program.command('alerts').description('What the controller finds wrong with the fleet.');
  const list = alerts
    .command('list')
    .description('List alerts, the worst first; those that are over only with --state resolved.')
    .option('--state <state>', `only ${STATES.join(', ')}`)
    .option('-n, --number <count>', 'how many at most', '100')
    .action(async (options: AlertsOptions) => {
      const rows = await (await cli.connect()).alerts(queryOf(options));
      cli.print({ rows, columns: columnsAt(cli.clock.now()), json: { alerts: rows } }, options.output);
      if (rows.length === 0) cli.note('no alerts');
    });
  const states = STATES.map((state) => `  ${state.padEnd(9)} ${STATE_HELP[state]}`);
  list.addHelpText('after', `\nStates:\n${states.join('\n')}`);
  addExamples(addOutput(addTarget(list)), 'alerts list', 'alerts list --state resolved -n 20 -o json');
}

function queryOf(options: AlertsOptions): AlertQuery {
  const { state, number } = options;
  return {
    ...parseTarget(options),
    limit: parseCount(number, '--number'),
    ...(state !== undefined && { state: parseChoice(state, STATES, '--state') }),
  };
}

function columnsAt(now: number): Column<AlertRow>[] {
  return [
    { head: 'SINCE', value: (row) => formatTime(row.sinceTs), text: (row) => formatAge(row.sinceTs, now) },
    { head: 'SEVERITY', value: (row) => row.severity },
    { head: 'STATE', value: (row) => row.state },
    { head: 'RULE', value: (row) => row.rule },
    { head: 'DEVICE', value: (row) => row.device, text: (row) => row.device ?? '(controller)' },
    { head: 'RESOLVED', value: (row) => (row.resolvedTs === undefined ? '' : formatTime(row.resolvedTs)) },
    // Predictions and budgets in parentheses are for who looks closer: with -o json, or in the device's events.
    { head: 'WHAT', value: (row) => row.text, text: (row) => row.text.replace(/ \([^()]*\)$/, '') },
  ];
}
