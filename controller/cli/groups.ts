import type { Command } from 'commander';
import type { Column } from '../../shared/cli/format.ts';
import { addOutput, type OutputOptions } from '../../shared/cli/output.ts';
import { parseInteger } from '../../shared/cli/values.ts';
import { AppError } from '../../shared/errors.ts';
import { formatSelector, parseSelector } from '../../shared/selector.ts';
import type { Group } from '../api/schemas.ts';
import type { Cli } from './context.ts';
import { addExamples } from './options.ts';
import { parseId } from './values.ts';

const COLUMNS: readonly Column<Group>[] = [
  { head: 'NAME', value: (group) => group.name },
  { head: 'PRIORITY', value: (group) => group.priority, align: 'right' },
  { head: 'SELECTOR', value: (group) => group.selector },
  { head: 'DEVICES', value: (group) => group.devices.length, align: 'right' },
];
const MEMBER_COLUMNS: readonly Column<Group>[] = [
  ...COLUMNS,
  { head: 'MEMBERS', value: (group) => group.devices.join(',') },
];

/** Adds `groups list`, `groups show`, `groups set` and `groups delete`. */
export function addGroups(program: Command, cli: Cli): void {
  const groups = program.command('groups').description('Groups of devices, by label or by name.');
  const list = groups
    .command('list')
    .description('List the groups.')
    .action(async ({ output }: OutputOptions) => {
      const rows = await (await cli.connect()).groups();
      cli.print({ rows, columns: COLUMNS, json: { groups: rows } }, output);
      if (rows.length === 0) cli.note('no groups');
    });
  addExamples(addOutput(list), 'groups list');
  const show = groups
    .command('show')
    .description('Show a group and the devices that are in it now.')
    .argument('<name>')
    .action(async (name: string, { output }: OutputOptions) => {
      const group = await (await cli.connect()).group(parseId(name, 'NAME'));
      cli.print({ rows: [group], columns: MEMBER_COLUMNS, json: group }, output);
    });
  addExamples(addOutput(show), 'groups show cameras');
  addSet(groups, cli);
  const remove = groups
    .command('delete')
    .description('Delete a group; its devices stay.')
    .argument('<name>')
    .action(async (name: string) => {
      await (await cli.connect()).deleteGroup(parseId(name, 'NAME'));
      cli.note(`group ${name} is deleted`);
    });
  addExamples(remove, 'groups delete cameras');
}

interface SetOptions {
  readonly selector?: string;
  readonly members?: string;
  readonly priority: string;
}

function addSet(groups: Command, cli: Cli): void {
  const set = groups
    .command('set')
    .description('Create a group, or replace it.')
    .argument('<name>')
    .option('-l, --selector <text>', 'the devices with these labels, whenever they join')
    .option('--members <ids>', 'exactly these devices, with commas between them')
    .option('--priority <number>', 'where two groups state the same, the higher one wins', '0')
    .action(async (name: string, options: SetOptions & OutputOptions) => {
      const definition = definitionOf(options);
      const group = await (await cli.connect()).setGroup(parseId(name, 'NAME'), definition);
      cli.print({ rows: [group], columns: COLUMNS, json: group }, options.output);
    });
  addExamples(
    addOutput(set),
    'groups set lab --selector site=lab --priority 10',
    'groups set cameras --members jetson-1,jetson-2',
  );
}

function definitionOf({ selector, members, priority }: SetOptions): {
  priority: number;
  selector?: string;
  members?: string[];
} {
  const rank = parseInteger(priority, '--priority');
  if ((selector === undefined) === (members === undefined)) {
    throw new AppError('usage', 'say which devices: give either --selector or --members');
  }
  if (selector !== undefined) return { priority: rank, selector: formatSelector(parseSelector(selector)) };
  const ids = (members ?? '').split(',').filter((id) => id !== '');
  return { priority: rank, members: ids.map((id) => parseId(id.trim(), '--members')) };
}
