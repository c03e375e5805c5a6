import { openHwmonPower } from './hwmon.ts';
import { openIna238 } from './ina238.ts';
import { openIna3221 } from './ina3221.ts';
import type { NoPowerMeter, PowerMeter } from './meter.ts';
import { openRapl } from './rapl.ts';

/** The sensor of the most first: of the board, of the module, of the processor. */
const OPENERS = [openIna238, openIna3221, openRapl, openHwmonPower] as const;

/**
 * Opens the machine's own power sensor: INA238 or INA3221 as Jetsons have them, else RAPL of x86 processors,
 * else one that hwmon shows.
 * @param root where sysfs is mounted
 * @returns the sensor, or why there is none of each kind
 */
export async function openPowerMeter(root = '/sys'): Promise<PowerMeter | NoPowerMeter> {
  const reasons: string[] = [];
  for (const open of OPENERS) {
    const meter = await open(root);
    if (!('unavailable' in meter)) return meter;
    reasons.push(meter.unavailable);
  }
  return { unavailable: reasons.join('; ') };
}
