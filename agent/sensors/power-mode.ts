import { join } from 'node:path';
import type { Clock } from '../../shared/clock.ts';
import { AppError } from '../../shared/errors.ts';
import {
  type PowerMode,
  parsePowerModeQuery,
  parsePowerModeStatus,
  powerModeName,
} from '../../shared/power/nvpmodel.ts';
import { readHead, readText } from '../../shared/power/sysfs.ts';
import type { Exec } from './processes.ts';
import type { Source } from './unit.ts';

const STATUS_FILE = 'var/lib/nvpmodel/status';
const CONFIG_FILE = 'etc/nvpmodel.conf';
const BOARD_FILES = [
  'sys/firmware/devicetree/base/compatible',
  'sys/firmware/devicetree/base/model',
  'etc/nv_tegra_release',
];
/** Configurations of nvpmodel have about 15 KiB. */
const CONFIG_BYTES = 256 * 1_024;
const QUERY_TIMEOUT_MS = 2_000;
/** The mode changes by hand only, and asking for it starts a program. */
const QUERY_EVERY_MS = 60_000;

/**
 * The power mode that a Jetson is in, by its name (`MODE_15W`), or `mode 2` where only the number is known.
 * Needs no root: it is in a file, or `nvpmodel -q` tells it.
 * @param root where the file system begins
 * @throws AppError `system` when the machine is no Jetson, or does not tell
 */
export async function readPowerMode(root: string, exec: Exec): Promise<string> {
  const kept = await keptMode(root);
  if (kept?.name !== undefined) return kept.name;
  await refuseOthers(root);
  const asked: PowerMode = await exec('nvpmodel', ['-q'], QUERY_TIMEOUT_MS).then(
    parsePowerModeQuery,
    (error: unknown) => {
      if (kept === undefined) throw error;
      return kept;
    },
  );
  const id = asked.id ?? kept?.id;
  if (asked.name !== undefined) return asked.name;
  if (id !== undefined) return `mode ${id}`;
  throw new AppError('system', 'nvpmodel -q: names no power mode');
}

/**
 * The power mode, asked again while it is read: at once where a file tells it, else every minute.
 * @param root where the file system begins
 * @throws AppError `system` when the machine is no Jetson
 */
export async function openPowerMode(root: string, exec: Exec, clock: Clock): Promise<Source<string>> {
  if ((await keptMode(root)) === undefined) await refuseOthers(root);
  let known: string | undefined;
  let askedMs: number | undefined;
  let failure: unknown;
  let isAsking = false;
  const ask = async (): Promise<void> => {
    isAsking = true;
    askedMs = clock.monoMs();
    failure = undefined;
    await readPowerMode(root, exec).then(
      (mode) => {
        known = mode;
      },
      (error: unknown) => {
        failure = error;
      },
    );
    isAsking = false;
  };
  const read = async (): Promise<string | undefined> => {
    const kept = await keptMode(root);
    if (kept?.name !== undefined) return kept.name;
    // A program takes longer than a reading may: what it says is told next time.
    if (!isAsking && clock.monoMs() - (askedMs ?? Number.NEGATIVE_INFINITY) >= QUERY_EVERY_MS) void ask();
    if (failure !== undefined) throw failure;
    return known;
  };
  return { read };
}

async function keptMode(root: string): Promise<PowerMode | undefined> {
  const id = parsePowerModeStatus((await readText(join(root, STATUS_FILE))) ?? '');
  if (id === undefined) return undefined;
  const config = await readHead(join(root, CONFIG_FILE), CONFIG_BYTES).catch(() => '');
  return { id, name: powerModeName(config, id) };
}

async function refuseOthers(root: string): Promise<void> {
  if (!(await isJetson(root))) throw new AppError('system', 'the machine has no nvpmodel: it is no Jetson');
}

/** Whether the machine's board is one of NVIDIA's: it says so in the device tree or has its release file. */
export async function isJetson(root: string): Promise<boolean> {
  for (const path of BOARD_FILES) {
    if (/tegra|jetson/i.test((await readText(join(root, path))) ?? '')) return true;
  }
  return false;
}
