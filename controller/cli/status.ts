import type { Command } from 'commander';
import { type Column, formatAge, formatTime } from '../../shared/cli/format.ts';
import { addOutput, type OutputOptions } from '../../shared/cli/output.ts';
import type { ControllerState } from '../api/schemas.ts';
import type { Cli } from './context.ts';
import { addExamples } from './options.ts';

/** One line of a list of properties. */
export interface Property {
  readonly name: string;
  readonly value: string | number | boolean | null | undefined;
  /** For people, where that is something else. */
  readonly text?: string;
}

/** Properties of one thing, one below the other. */
export const PROPERTY_COLUMNS: readonly Column<Property>[] = [
  { head: 'NAME', value: (row) => row.name },
  { head: 'VALUE', value: (row) => row.value, text: (row) => row.text ?? String(row.value ?? '') },
];

/** Adds `status`. */
export function addStatus(program: Command, cli: Cli): void {
  const status = program
    .command('status')
    .description("Show the controller's state: devices, what came in, what was rejected and why.")
    .action(async ({ output }: OutputOptions) => {
      const state = await (await cli.connect()).state();
      const rows = propertiesOf(state, cli.clock.now());
      cli.print({ rows, columns: PROPERTY_COLUMNS, json: state }, output);
      if (state.ingest.stalled !== undefined) cli.note(`nothing is being stored: ${state.ingest.stalled}`);
      if (!state.mqtt.connected) cli.note('the controller has no connection to its broker');
    });
  addExamples(addOutput(status), 'status', 'status -o json');
}

function propertiesOf(state: ControllerState, now: number): Property[] {
  const { ingest, history, devices } = state;
  const rejected = Object.entries(ingest.rejected).sort(([a], [b]) => (a < b ? -1 : 1));
  return [
    { name: 'fleet', value: state.fleet },
    { name: 'version', value: state.version },
    { name: 'epoch', value: state.epoch },
    { name: 'started', value: formatTime(state.startedTs), text: formatAge(state.startedTs, now) },
    { name: 'broker', value: state.mqtt.connected ? 'connected' : 'not connected' },
    { name: 'devices known', value: devices.known },
    { name: 'devices online', value: devices.online },
    { name: 'windows received', value: ingest.windows },
    { name: 'events received', value: ingest.events },
    { name: 'duplicates', value: ingest.duplicates },
    { name: 'pending', value: ingest.pending },
    ...rejected.map(([reason, count]) => ({ name: `rejected: ${reason}`, value: count })),
    { name: 'stalled', value: ingest.stalled ?? 'no' },
    { name: 'windows in history', value: history.windows },
    { name: 'events in history', value: history.events },
    { name: 'history size', value: history.bytes, text: formatBytes(history.bytes) },
  ];
}

/** A size for people, three digits. */
export function formatBytes(bytes: number): string {
  const units = ['B', 'kB', 'MB', 'GB', 'TB'] as const;
  const step = bytes < 1 ? 0 : Math.min(units.length - 1, Math.floor(Math.log10(bytes) / 3));
  return `${Number((bytes / 1_000 ** step).toPrecision(3))} ${units[step]}`;
}
