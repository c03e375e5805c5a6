import type { Command } from 'commander';
import {
  type Column,
  formatAge,
  formatLabels,
  formatMs,
  formatPercent,
  formatTime,
} from '../../shared/cli/format.ts';
import { addOutput, type OutputOptions } from '../../shared/cli/output.ts';
import type { Device } from '../api/schemas.ts';
import type { Cli } from './context.ts';
import { addDeviceCommands } from './device-commands.ts';
import { addDeviceConfig } from './device-config.ts';
import { addDeviceShow } from './device-show.ts';
import { addExamples } from './options.ts';
import { parseId, parseLabelWords, parseTarget, type TargetOptions } from './values.ts';

/** Adds `devices` and its commands. */
export function addDevices(program: Command, cli: Cli): void {
  const devices = program.command('devices').description('The devices of the fleet.');
  addList(devices, cli);
  addDeviceShow(devices, cli);
  addLabel(devices, cli);
  addDeviceCommands(devices, cli);
  addDeviceConfig(devices, cli);
}

function addList(devices: Command, cli: Cli): void {
  const list = devices
    .command('list')
    .description('List devices with what they did last.')
    .option('-g, --group <name>', 'the devices of a group')
    .option('-l, --selector <text>', 'devices by their labels')
    .action(async (options: TargetOptions & OutputOptions) => {
      const rows = await (await cli.connect()).devices(parseTarget(options));
      cli.print({ rows, columns: columnsAt(cli.clock.now()), json: { devices: rows } }, options.output);
      if (rows.length === 0) cli.note('no devices');
    });
  addExamples(addOutput(list), 'devices list', 'devices list -l site=lab -o json');
}

function columnsAt(now: number): Column<Device>[] {
  return [
    { head: 'ID', value: (device) => device.id },
    { head: 'STATE', value: (device) => (device.online ? 'online' : 'offline') },
    {
      head: 'LAST-SEEN',
      value: (device) => formatTime(device.lastSeenTs),
      text: (device) => formatAge(device.lastSeenTs, now),
    },
    { head: 'LEVEL', value: (device) => device.latest?.level, align: 'right' },
    {
      head: 'P95',
      value: (device) => device.latest?.latencyP95Ms,
      text: (device) => formatMs(device.latest?.latencyP95Ms),
      align: 'right',
    },
    {
      head: 'BUDGET',
      value: (device) => device.latest?.requirement.latencyMs,
      text: (device) => formatMs(device.latest?.requirement.latencyMs),
      align: 'right',
    },
    { head: 'MISSES', value: (device) => device.latest?.misses, align: 'right' },
    {
      head: 'ACCURACY',
      value: (device) => device.latest?.accuracy,
      text: (device) => formatPercent(device.latest?.accuracy),
      align: 'right',
    },
    { head: 'GROUPS', value: (device) => device.groups.join(',') },
    { head: 'LABELS', value: (device) => formatLabels(device.labels) },
  ];
}

function addLabel(devices: Command, cli: Cli): void {
  const label = devices
    .command('label')
    .description('Set labels of a device with key=value, remove them with key-.')
    .argument('<id>')
    .argument('<labels...>')
    .action(async (id: string, words: string[], { output }: OutputOptions) => {
      const device = parseId(id, 'ID');
      const changed = await (await cli.connect()).label(device, parseLabelWords(words));
      const columns = [
        { head: 'ID', value: (row: Device) => row.id },
        { head: 'LABELS', value: (row: Device) => formatLabels(row.labels) },
      ];
      cli.print({ rows: [changed], columns, json: changed }, output);
    });
  addExamples(addOutput(label), 'devices label jetson-1 site=lab retired-');
}
