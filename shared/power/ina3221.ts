import { join } from 'node:path';
import { describeError } from '../errors.ts';
import type { NoPowerMeter, PowerGauge } from './meter.ts';
import { entriesMatching, readInteger, readText } from './sysfs.ts';

/** A supply of the board that a channel of an INA3221 measures. */
export interface Rail {
  readonly label: string;
  readWatts(): Promise<number>;
}

/** Rails that feed the whole module, which other rails are parts of. */
const TOTAL_RAILS = ['VDD_IN', 'POM_5V_IN'];
/** Rails that are fed by another one that is measured too (Jetson AGX Orin): they would count twice. */
const PART_OF: Readonly<Record<string, string>> = { VDDQ_VDD2_1V8AO: 'VIN_SYS_5V0' };
/** Channels that measure nothing, and the driver's own seventh one. */
const NO_RAIL = /^(NC|sum of shunt voltages)$/i;

/**
 * Opens the INA3221 sensors of a Jetson, of both generations of sysfs: `iio` with milliwatts (JetPack 4 and
 * before) and `hwmon` with millivolts and milliamperes (JetPack 5 to 7). Channels are found by their labels:
 * indices differ between boards and boots.
 */
export async function openIna3221(root: string): Promise<PowerGauge | NoPowerMeter> {
  const rails = summedRails(await railsOf(root));
  if (rails.length === 0) return { unavailable: 'there is no INA3221 sensor with a named rail' };
  const gauge: PowerGauge = {
    kind: 'power',
    source: `INA3221 ${rails.map(({ label }) => label).join(' + ')}`,
    scope: 'module',
    readW: async () => {
      let watts = 0;
      for (const rail of rails) watts += await rail.readWatts();
      return watts;
    },
  };
  try {
    await gauge.readW();
    return gauge;
  } catch (error) {
    // A sum without one of its rails would be a guess.
    return { unavailable: `${gauge.source}: ${describeError(error)}` };
  }
}

/**
 * Which rails add up to the module's power: the one that feeds it where there is one, else all that are not
 * parts of another.
 */
export function summedRails<R extends { readonly label: string }>(rails: readonly R[]): R[] {
  const named = rails.filter(({ label }) => label !== '' && !NO_RAIL.test(label));
  for (const total of TOTAL_RAILS) {
    const rail = named.find(({ label }) => label === total);
    if (rail !== undefined) return [rail];
  }
  const labels = new Set(named.map(({ label }) => label));
  return named.filter(({ label }) => !labels.has(PART_OF[label] ?? ''));
}

async function railsOf(root: string): Promise<Rail[]> {
  const rails: Rail[] = [];
  for (const device of await entriesMatching(join(root, 'bus/i2c/devices'), /./)) {
    const name = await readText(join(device, 'name'));
    if (name?.includes('ina3221') !== true) continue;
    for (const folder of await entriesMatching(device, /^iio:device\d+$/)) {
      rails.push(...(await iioRails(folder)));
    }
    for (const folder of await entriesMatching(join(device, 'hwmon'), /^hwmon\d+$/)) {
      rails.push(...(await hwmonRails(folder)));
    }
  }
  return rails;
}

async function iioRails(folder: string): Promise<Rail[]> {
  return await labelledRails(folder, /^rail_name_(?<channel>\d+)$/, async (channel) => {
    return (await readInteger(join(folder, `in_power${channel}_input`))) / 1e3;
  });
}

async function hwmonRails(folder: string): Promise<Rail[]> {
  return await labelledRails(folder, /^in(?<channel>[1-6])_label$/, async (channel) => {
    const millivolts = await readInteger(join(folder, `in${channel}_input`));
    const milliamperes = await readInteger(join(folder, `curr${channel}_input`));
    return (millivolts * milliamperes) / 1e6;
  });
}

async function labelledRails(
  folder: string,
  labelFile: RegExp,
  readWatts: (channel: string) => Promise<number>,
): Promise<Rail[]> {
  const rails: Rail[] = [];
  for (const path of await entriesMatching(folder, labelFile)) {
    const channel = labelFile.exec(path.slice(folder.length + 1))?.groups?.['channel'] ?? '';
    const label = (await readText(path)) ?? '';
    rails.push({ label, readWatts: async () => await readWatts(channel) });
  }
  return rails;
}
