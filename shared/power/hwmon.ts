import { basename, join } from 'node:path';
import { describeError } from '../errors.ts';
import type { NoPowerMeter, PowerGauge, PowerScope } from './meter.ts';
import { entriesMatching, readInteger, readText } from './sysfs.ts';

/**
 * Drivers of which is known what they measure. Others (graphics cards, drives, USB-C contracts) tell the power
 * of a part, which must not pass for the machine's.
 */
const DRIVERS: readonly (readonly [name: RegExp, scope: PowerScope])[] = [
  [/^power_meter$/, 'board'],
  // Current monitors as boards carry them at their input.
  [/^(ina2\d\d|ina2xx|sq52206|ltc294[57]|ltc4151)$/, 'board'],
  [/^(zenpower|fam15h_power)$/, 'package'],
];

interface Candidate {
  readonly driver: string;
  readonly scope: PowerScope;
  readonly file: string;
}

/**
 * Opens a power sensor that hwmon shows: `power1_input` or `power1_average`, microwatts (kernel documentation,
 * hwmon/sysfs-interface). It is found by its driver's name, because the index in `hwmonX` is not stable.
 * @param root where sysfs is mounted
 */
export async function openHwmonPower(root: string): Promise<PowerGauge | NoPowerMeter> {
  const candidates = await candidatesIn(root);
  const [one] = candidates;
  if (one === undefined) return { unavailable: 'there is no power sensor of hwmon' };
  if (candidates.length > 1) {
    // They may measure rails that feed each other: neither one of them nor their sum would be the whole.
    const names = candidates.map(({ driver }) => driver).join(', ');
    return { unavailable: `hwmon has ${candidates.length} power sensors (${names}), expected one` };
  }
  const source = `hwmon ${one.driver}`;
  const readW = async (): Promise<number> => (await readInteger(one.file)) / 1e6;
  try {
    await readW();
    return { kind: 'power', source, scope: one.scope, readW };
  } catch (error) {
    return { unavailable: `${source}: ${describeError(error)}` };
  }
}

async function candidatesIn(root: string): Promise<Candidate[]> {
  const found: Candidate[] = [];
  for (const folder of await entriesMatching(join(root, 'class/hwmon'), /^hwmon\d+$/)) {
    const driver = (await readText(join(folder, 'name'))) ?? '';
    const scope = DRIVERS.find(([name]) => name.test(driver))?.[1];
    const files = await entriesMatching(folder, /^power1_(input|average)$/);
    // What is measured now, rather than its average.
    const file = files.find((path) => basename(path) === 'power1_input') ?? files[0];
    if (scope !== undefined && file !== undefined) found.push({ driver, scope, file });
  }
  const whole = found.filter(({ driver }) => driver === 'power_meter');
  return whole.length === 1 ? whole : found;
}
