import { join } from 'node:path';
import { describeError } from '../errors.ts';
import type { NoPowerMeter, PowerGauge } from './meter.ts';
import { entriesMatching, readInteger, readText } from './sysfs.ts';

/** The rail that feeds the whole board. */
export const BOARD_RAIL = 'VIN';

/**
 * Opens the INA238 of a Jetson Thor, which measures all that the board draws. Its driver tells power itself,
 * in microwatts (kernel documentation, hwmon/ina238). The driver of the mainline has no labels: one without
 * is the board's, one with another label measures something else.
 * @param root where sysfs is mounted
 */
export async function openIna238(root: string): Promise<PowerGauge | NoPowerMeter> {
  const files = await boardFiles(root);
  const [file] = files;
  if (file === undefined) return { unavailable: `there is no INA238 sensor of ${BOARD_RAIL}` };
  // Two of them without labels: which one is the board's would be a guess.
  if (files.length > 1) return { unavailable: `there are ${files.length} INA238 sensors of ${BOARD_RAIL}` };
  const gauge: PowerGauge = {
    kind: 'power',
    source: `INA238 ${BOARD_RAIL}`,
    scope: 'board',
    readW: async () => (await readInteger(file)) / 1e6,
  };
  try {
    await gauge.readW();
    return gauge;
  } catch (error) {
    return { unavailable: `${gauge.source}: ${describeError(error)}` };
  }
}

async function boardFiles(root: string): Promise<string[]> {
  const files: string[] = [];
  for (const device of await entriesMatching(join(root, 'bus/i2c/devices'), /./)) {
    if ((await readText(join(device, 'name')))?.includes('ina238') !== true) continue;
    for (const folder of await entriesMatching(join(device, 'hwmon'), /^hwmon\d+$/)) {
      if ((await labelOf(folder)) === BOARD_RAIL) files.push(join(folder, 'power1_input'));
    }
  }
  return files;
}

async function labelOf(folder: string): Promise<string> {
  for (const name of ['power1_label', 'in1_label', 'label']) {
    const label = await readText(join(folder, name));
    if (label !== undefined && label !== '') return label;
  }
  return BOARD_RAIL;
}
