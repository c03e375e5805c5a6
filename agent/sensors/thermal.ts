import { join } from 'node:path';
import { AppError } from '../../shared/errors.ts';
import { entriesMatching, readInteger, readText } from '../../shared/power/sysfs.ts';
import type { Limits } from './health.ts';

/** One place whose temperature is measured. */
export interface Zone {
  /** Lower case, without what only some releases append: `cpu`, `gpu`, `tj`. */
  readonly name: string;
  /** Degrees Celsius. @throws AppError `system` when it cannot be read or its engine is off */
  readTempC(): Promise<number>;
}

/** A silicon thermometer reads no less and no more; a step of 60 K from one reading to the next is no heat. */
export const TEMPERATURE_LIMITS: Limits = { unit: 'C', min: -40, max: 150, step: 60 };

/** More than any machine has that this is made for. */
const MAX_ZONES = 64;
/** What a zone of a Jetson reads while its engine is off. */
const OFFLINE_C = -256;
/** Drives, radios and memory sticks: they are no part of what inference heats. */
const OTHER_DEVICES = /^(nvme|drivetemp|iwlwifi|ath\d+k|mt7\d+|jc42|spd5118|ucsi)/;

/** Name of a zone or of a temperature of tegrastats in one form: `CPU-therm`, `cpu-thermal` and `CPU` are one. */
export function zoneName(raw: string): string {
  const name = raw.trim().toLowerCase();
  if (/^thermal[-_]fan[-_]est/.test(name)) return 'thermal';
  return name.replace(/[-_](therm|thermal|tegra|die)$/, '');
}

/**
 * Whether the zone tells a temperature that counts: that of the power management chip of a Jetson is always
 * 100 C (or 50), and of drives and radios none is asked here.
 */
export function isZoneReal(name: string): boolean {
  return name !== '' && !name.startsWith('pmic') && !OTHER_DEVICES.test(name);
}

/** Whether an engine that is off is behind this reading. */
export function isOffline(tempC: number): boolean {
  return tempC <= OFFLINE_C;
}

/**
 * Thermal zones of the kernel.
 * @param root where the file system begins
 */
export async function findThermalZones(root: string): Promise<Zone[]> {
  const zones: Zone[] = [];
  const names = new Set<string>();
  for (const parent of ['sys/devices/virtual/thermal', 'sys/class/thermal']) {
    for (const folder of await entriesMatching(join(root, parent), /^thermal_zone\d+$/)) {
      const type = zoneName((await readText(join(folder, 'type'))) ?? '');
      if (isZoneReal(type) && zones.length < MAX_ZONES) zones.push(zoneAt(type, names, join(folder, 'temp')));
    }
    // Both folders show the same zones.
    if (zones.length > 0) return zones;
  }
  return zones;
}

/**
 * Temperatures that hwmon shows, for machines without thermal zones.
 * @param root where the file system begins
 */
export async function findHwmonZones(root: string): Promise<Zone[]> {
  const zones: Zone[] = [];
  const names = new Set<string>();
  for (const folder of await entriesMatching(join(root, 'sys/class/hwmon'), /^hwmon\d+$/)) {
    const driver = (await readText(join(folder, 'name'))) ?? '';
    if (OTHER_DEVICES.test(driver)) continue;
    for (const path of await entriesMatching(folder, /^temp\d+_input$/)) {
      const label = (await readText(path.replace(/_input$/, '_label'))) ?? '';
      const name = zoneName(label === '' ? driver : label);
      if (isZoneReal(name) && zones.length < MAX_ZONES) zones.push(zoneAt(name, names, path));
    }
  }
  return zones;
}

/** The second zone of a name is `cpu2`. */
function zoneAt(type: string, names: Set<string>, path: string): Zone {
  let name = type;
  for (let count = 2; names.has(name); count += 1) name = `${type}${count}`;
  names.add(name);
  return {
    name,
    readTempC: async () => {
      const tempC = (await readInteger(path)) / 1e3;
      if (isOffline(tempC)) throw new AppError('system', `${path}: ${tempC} C, its engine is off`);
      return tempC;
    },
  };
}
