import type { Command } from 'commander';
import { addOutput, type OutputOptions } from '../../shared/cli/output.ts';
import { AppError } from '../../shared/errors.ts';
import type { Settings } from '../../shared/protocol/requirement.ts';
import type { Scope, Stated } from '../api/schemas.ts';
import type { StatedChange } from './api.ts';
import type { Cli } from './context.ts';
import { eachDevice } from './each-device.ts';
import { addExamples, addTarget } from './options.ts';
import { settingsColumns, statedColumns, statedOf } from './stated.ts';
import {
  parseFields,
  parseSettingWords,
  parseTarget,
  SETTING_FIELDS,
  scopeOf,
  type TargetOptions,
} from './values.ts';

const COLUMNS = statedColumns(settingsColumns((row: Stated) => row.settings));

type Change = Omit<StatedChange<Settings, keyof Settings>, 'scope'>;

/** Adds `devices config set`, `devices config show` and `devices config clear`. */
export function addDeviceConfig(devices: Command, cli: Cli): void {
  const config = devices.command('config').description('Settings of agents: window, frame rate, log level.');
  addSet(config, cli);
  addShow(config, cli);
  addClear(config, cli);
}

function addSet(config: Command, cli: Cli): void {
  const set = config
    .command('set')
    .description('Set settings of the fleet, or of the devices that are named.')
    .argument('<words...>', 'settings as name=value (window, frame-rate, log-level); other words are devices')
    .action(async (words: string[], options: TargetOptions & OutputOptions) => {
      const { settings, devices } = parseSettingWords(words);
      await change(cli, { ids: devices, options, change: { set: settings } });
    });
  addExamples(
    addOutput(addTarget(set)),
    'devices config set window=30s',
    'devices config set jetson-1 jetson-2 frame-rate=20fps log-level=debug',
  );
}

function addShow(config: Command, cli: Cli): void {
  const show = config
    .command('show')
    .description('Show which settings are stated where.')
    .action(async (options: TargetOptions & OutputOptions) => {
      const target = parseTarget(options);
      const stated = statedOf(await (await cli.connect()).settings(), target);
      cli.print({ rows: stated, columns: COLUMNS, json: { stated } }, options.output);
      if (stated.length === 0) cli.note('nothing is stated');
    });
  addExamples(addOutput(addTarget(show)), 'devices config show');
}

function addClear(config: Command, cli: Cli): void {
  const clear = config
    .command('clear')
    .description('Take settings back, of the fleet or of the devices that are named.')
    .argument('<names...>', Object.keys(SETTING_FIELDS).join(', '))
    .action(async (names: string[], options: TargetOptions & OutputOptions) => {
      await change(cli, { ids: [], options, change: { clear: parseFields(names, SETTING_FIELDS) } });
    });
  addExamples(addOutput(addTarget(clear)), 'devices config clear window log-level --device jetson-1');
}

async function change(
  cli: Cli,
  request: { ids: readonly string[]; options: TargetOptions & OutputOptions; change: Change },
): Promise<void> {
  const { ids, options, change } = request;
  const target = parseTarget(options);
  if (ids.length > 0 && Object.keys(target).length > 0) {
    throw new AppError('usage', 'name devices either as words or by an option, not both');
  }
  const api = await cli.connect();
  const print = (rows: readonly Stated[]): void => {
    cli.print({ rows, columns: COLUMNS, json: { stated: rows } }, options.output);
  };
  const apply = (scope: Scope): Promise<Stated> => api.changeSettings({ scope, ...change });
  if (ids.length === 0) return print([await apply(scopeOf(target))]);
  await eachDevice(ids, (device) => apply({ kind: 'device', device }), { note: cli.note, onDone: print });
}
