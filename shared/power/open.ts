import { openIna3221 } from './ina3221.ts';
import type { NoPowerMeter, PowerMeter } from './meter.ts';
import { openRapl } from './rapl.ts';

/**
 * Opens the machine's own power sensor: INA3221 as Jetsons have it, else RAPL of x86 processors.
 * @param root where sysfs is mounted
 */
export async function openPowerMeter(root = '/sys'): Promise<PowerMeter | NoPowerMeter> {
  const ina = await openIna3221(root);
  if (!('unavailable' in ina)) return ina;
  const rapl = await openRapl(root);
  return 'unavailable' in rapl ? { unavailable: `${ina.unavailable}; ${rapl.unavailable}` } : rapl;
}
