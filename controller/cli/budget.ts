import type { Command } from 'commander';
import type { Column } from '../../shared/cli/format.ts';
import { addOutput, type OutputOptions } from '../../shared/cli/output.ts';
import { LIMITS } from '../../shared/protocol/requirement.ts';
import type { Stated } from '../api/schemas.ts';
import type { Api } from './api.ts';
import type { Cli } from './context.ts';
import { addExamples, addTarget } from './options.ts';
import { fieldText, requirementColumns, statedColumns, statedOf } from './stated.ts';
import {
  BUDGET_FIELDS,
  type BudgetOptions,
  parseBudget,
  parseFields,
  parseTarget,
  scopeOf,
  type TargetOptions,
} from './values.ts';

const COLUMNS = statedColumns(requirementColumns((row: Stated) => row.requirement));

/** Adds `budget set`, `budget show` and `budget clear`. */
export function addBudget(program: Command, cli: Cli): void {
  const budget = program
    .command('budget')
    .description('What devices have to hold: latency, misses, accuracy, power, energy, temperature.');
  addSet(budget, cli);
  addShow(budget, cli);
  addClear(budget, cli);
}

function addSet(budget: Command, cli: Cli): void {
  const set = budget
    .command('set')
    .description('State limits for the fleet, or for the devices that are named; others stay as they are.')
    .option('--latency <duration>', 'latency of one inference, for example 2ms')
    .option('--miss-share <fraction>', 'share of inferences that may miss it, for example 2%')
    .option('--accuracy-floor <fraction>', 'smallest accuracy, for example 0.92')
    .option('--power <power>', 'average power of the device, for example 7W')
    .option('--energy <energy>', 'energy of one inference above idle, for example 50mJ')
    .option('--temp <temperature>', 'what the hottest zone must not pass, for example 80C')
    .option('--price <number>', 'accuracy that one joule is worth, for example 0.02')
    .option('--priority <limits>', `what to keep when not all can be, the first longest: ${LIMITS.join(',')}`)
    .action(async (options: BudgetOptions & TargetOptions & OutputOptions) => {
      const change = { scope: scopeOf(parseTarget(options)), set: parseBudget(options) };
      const stated = await (await cli.connect()).changeBudget(change);
      cli.print({ rows: [stated], columns: COLUMNS, json: stated }, options.output);
    });
  addExamples(
    addOutput(addTarget(set)),
    'budget set --latency 2ms --miss-share 2%',
    'budget set --power 7W --energy 50mJ --temp 80C',
    'budget set --accuracy-floor 0.92 --priority accuracy,latency -l site=lab',
  );
}

function addShow(budget: Command, cli: Cli): void {
  const show = budget
    .command('show')
    .description(
      'Show what is stated where; for one device also what is in force on it and where that comes from.',
    )
    .action(async (options: TargetOptions & OutputOptions) => {
      const target = parseTarget(options);
      const api = await cli.connect();
      if (options.device !== undefined)
        return showDevice({ cli, api, id: options.device, output: options.output });
      const stated = statedOf(await api.budgets(), target);
      cli.print({ rows: stated, columns: COLUMNS, json: { stated } }, options.output);
      if (stated.length === 0) cli.note('nothing is stated');
    });
  addExamples(addOutput(addTarget(show)), 'budget show', 'budget show --device jetson-1');
}

interface FieldRow {
  readonly field: string;
  readonly inForce: string | number | undefined;
  readonly inForceText: string;
  readonly from: string | undefined;
  readonly stated: string | number | undefined;
  readonly statedText: string;
}

const FIELD_COLUMNS: readonly Column<FieldRow>[] = [
  { head: 'FIELD', value: (row) => row.field },
  { head: 'IN-FORCE', value: (row) => row.inForce, text: (row) => row.inForceText },
  { head: 'FROM', value: (row) => row.from },
  { head: 'STATED', value: (row) => row.stated, text: (row) => row.statedText },
];

async function showDevice(options: {
  cli: Cli;
  api: Api;
  id: string;
  output: OutputOptions['output'];
}): Promise<void> {
  const { cli, api, id, output } = options;
  const [{ reported }, budgets] = await Promise.all([api.device(id), api.budgets()]);
  const [stated] = statedOf(budgets, { device: id });
  const rows = Object.entries(BUDGET_FIELDS).map(([field, key]) => ({
    field,
    inForce: reported?.requirement[key],
    inForceText: fieldText(key, reported?.requirement[key]),
    from: reported?.sources[key],
    stated: stated?.requirement[key],
    statedText: fieldText(key, stated?.requirement[key]),
  }));
  const sources = reported?.sources ?? {};
  const json = { device: id, stated: stated ?? null, requirement: reported?.requirement ?? null, sources };
  cli.print({ rows, columns: FIELD_COLUMNS, json }, output);
  if (reported === undefined) cli.note(`${id} has not reported yet`);
  for (const { scope, field, reason } of reported?.refused ?? []) {
    cli.note(`${id} refuses ${field} of ${scope}: ${reason}`);
  }
}

function addClear(budget: Command, cli: Cli): void {
  const clear = budget
    .command('clear')
    .description('Take limits back; without a name, all of them.')
    .argument('[names...]', Object.keys(BUDGET_FIELDS).join(', '))
    .action(async (names: string[], options: TargetOptions & OutputOptions) => {
      const change = { scope: scopeOf(parseTarget(options)), clear: parseFields(names, BUDGET_FIELDS) };
      const stated = await (await cli.connect()).changeBudget(change);
      cli.print({ rows: [stated], columns: COLUMNS, json: stated }, options.output);
    });
  addExamples(addOutput(addTarget(clear)), 'budget clear', 'budget clear latency miss-share -g cameras');
}
