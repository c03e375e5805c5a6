import { join } from 'node:path';
import { entriesMatching, readOptionalInteger, readText } from '../../shared/power/sysfs.ts';
import type { Source } from './unit.ts';

/**
 * Cooling devices of the kernel that cool by slowing down (kernel documentation, thermal/sysfs-api): frequencies
 * of processors and of other engines, the processors of ACPI, and what Jetsons call alerts. Fans are none.
 */
const SLOWS_DOWN = /^(thermal-)?(cpufreq|devfreq)-|^Processor$|-throttle-alert$/;
/** More than any machine has that this is made for. */
const MAX_DEVICES = 256;

/**
 * What slows the device down at this moment, by the names of the kernel's cooling devices: `cpufreq-cpu0`. State 0
 * of such a device is full speed. Undefined where the kernel has none that could tell.
 * @param root where the file system begins
 */
export async function openCooling(root: string): Promise<Source<readonly string[]>> {
  const folders = await entriesMatching(join(root, 'sys/class/thermal'), /^cooling_device\d+$/);
  const devices: { readonly type: string; readonly folder: string }[] = [];
  for (const folder of folders.slice(0, MAX_DEVICES)) {
    const type = (await readText(join(folder, 'type'))) ?? '';
    if (SLOWS_DOWN.test(type)) devices.push({ type, folder });
  }
  return {
    read: async () => {
      const slowed = new Set<string>();
      for (const { type, folder } of devices) {
        if (((await readOptionalInteger(join(folder, 'cur_state'))) ?? 0) > 0) slowed.add(type);
      }
      return devices.length === 0 ? undefined : [...slowed];
    },
  };
}
