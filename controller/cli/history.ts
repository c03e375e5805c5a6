import type { Command } from 'commander';
import type { Column } from '../../shared/cli/format.ts';
import { addOutput, type OutputOptions } from '../../shared/cli/output.ts';
import { AppError } from '../../shared/errors.ts';
import { formatDurationMs } from '../../shared/units.ts';
import type { BackupAnswer, HistoryStatus } from '../api/history-schemas.ts';
import type { Cli } from './context.ts';
import { addExamples } from './options.ts';
import { formatBytes, PROPERTY_COLUMNS, type Property } from './status.ts';

/**
 * Adds `history` and those of its commands that ask the controller.
 * @returns the command, for those that do not
 */
export function addHistory(program: Command, cli: Cli): Command {
  const history = program.command('history').description('The databases that hold the history.');
  addStatusOf(history, cli);
  addBackup(history, cli);
  addIntegrity(history, cli);
  return history;
}

function addStatusOf(history: Command, cli: Cli): void {
  const status = history
    .command('status')
    .description('Show what is stored, and how far summaries are behind.')
    .action(async ({ output }: OutputOptions) => {
      const state = await (await cli.connect()).historyStatus();
      cli.print({ rows: propertiesOf(state), columns: PROPERTY_COLUMNS, json: state }, output);
    });
  addExamples(addOutput(status), 'history status', 'history status -o json');
}

function propertiesOf(state: HistoryStatus): Property[] {
  const { windows, events, boots, series, bytes, walBytes, lagRecords, lagMs } = state;
  const oldest = lagRecords === 0 ? '' : `${formatDurationMs(lagMs)} ago`;
  return [
    { name: 'windows', value: windows },
    { name: 'events', value: events },
    { name: 'boots of devices', value: boots },
    { name: 'devices and groups', value: series },
    { name: 'size', value: bytes, text: formatBytes(bytes) },
    { name: 'write-ahead log', value: walBytes, text: formatBytes(walBytes) },
    { name: 'windows not summarised yet', value: lagRecords },
    { name: 'the oldest of them', value: lagMs, text: oldest },
  ];
}

const BACKUP_COLUMNS: readonly Column<BackupAnswer>[] = [
  { head: 'PATH', value: (row) => row.path },
  { head: 'SIZE', value: (row) => row.bytes, text: (row) => formatBytes(row.bytes), align: 'right' },
  { head: 'DEVICES', value: (row) => row.devices, align: 'right' },
  { head: 'WINDOWS', value: (row) => row.windows, align: 'right' },
];

function addBackup(history: Command, cli: Cli): void {
  const backup = history
    .command('backup')
    .description("Copy the databases, while the controller runs, to a folder on the controller's machine.")
    .action(async ({ output }: OutputOptions) => {
      const made = await (await cli.connect()).backup();
      cli.print({ rows: [made], columns: BACKUP_COLUMNS, json: made }, output);
    });
  addExamples(addOutput(backup), 'history backup', 'history backup -o json');
}

const PROBLEM_COLUMNS: readonly Column<string>[] = [{ head: 'PROBLEM', value: (problem) => problem }];

function addIntegrity(history: Command, cli: Cli): void {
  const integrity = history
    .command('integrity')
    .description('Check that all that is stored can be read, and agrees with itself; 1 when it does not.')
    .action(async ({ output }: OutputOptions) => {
      const found = await (await cli.connect()).integrity();
      const { ok, problems } = found;
      if (output !== 'table' || !ok) {
        cli.print({ rows: problems, columns: PROBLEM_COLUMNS, json: found }, output);
      }
      if (!ok) throw new AppError('system', `the history is damaged: ${problems.length} problems`);
      cli.note('no problems');
    });
  addExamples(addOutput(integrity), 'history integrity');
}
