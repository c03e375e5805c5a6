import type { Command } from 'commander';
import { formatTime } from '../shared/cli/format.ts';
import { addExamplesOf, addOutput, type OutputOptions } from '../shared/cli/output.ts';
import type { Terminal } from '../shared/cli/terminal.ts';
import type { Clock } from '../shared/clock.ts';
import { configEntries } from '../shared/config.ts';
import { addConfigFlags, configSources } from '../shared/config-flags.ts';
import { CONTROLLER_CONFIG, loadControllerConfig } from './config.ts';

/** What the commands have that work on a controller's files, while it does not run. */
export interface Offline extends Terminal {
  readonly env: NodeJS.ProcessEnv;
  readonly clock: Clock;
}

const CONFIG_FILE = { env: 'OFA_FLEET_CONFIG' };
/** Where the databases are; nothing else of the configuration matters here. */
const ENTRIES = configEntries(CONTROLLER_CONFIG).filter(({ path }) => path === 'state.dir');

type RestoreFlags = OutputOptions & Readonly<Record<string, unknown>>;

/** Adds `restore` to `history`. */
export function addRestore(history: Command, world: Offline): void {
  const restore = history
    .command('restore')
    .description('Put a backup in place of the databases of a controller that is stopped.')
    .argument('<folder>', 'the backup')
    .option('--force', 'replace the databases that are there; they are kept aside')
    .action((folder: string, flags: RestoreFlags) => restoreFrom(folder, flags, world));
  addConfigFlags(restore, ENTRIES, CONFIG_FILE);
  addExamplesOf('ofa-fleet', addOutput(restore), [
    'history restore /var/lib/ofa-fleet/backups/20260501T120000Z --state /var/lib/ofa-fleet --force',
  ]);
}

async function restoreFrom(folder: string, flags: RestoreFlags, world: Offline): Promise<void> {
  const { values } = loadControllerConfig(
    configSources(ENTRIES, flags, { env: world.env, file: CONFIG_FILE }),
  );
  // Loaded here, as with the services: the other commands start faster without the database.
  const { restoreBackup } = await import('./history/backup/restore.ts');
  const { manifest, epoch, replaced } = await restoreBackup({
    from: folder,
    stateDir: values.state.dir,
    force: flags['force'] === true,
    now: world.clock.now(),
  });
  const { createdTs, devices, windows } = manifest;
  const restored = { state: values.state.dir, made: createdTs, devices, windows, epoch, replaced };
  const columns = [
    { head: 'STATE', value: (row: typeof restored) => row.state },
    { head: 'MADE', value: (row: typeof restored) => formatTime(row.made) },
    { head: 'DEVICES', value: (row: typeof restored) => row.devices },
    { head: 'WINDOWS', value: (row: typeof restored) => row.windows },
    { head: 'EPOCH', value: (row: typeof restored) => row.epoch },
    { head: 'REPLACED', value: (row: typeof restored) => row.replaced },
  ];
  world.print({ rows: [restored], columns, json: restored }, flags.output);
  if (replaced !== undefined) world.note(`what was there is kept in ${replaced}`);
}
