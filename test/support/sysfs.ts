import { mkdir, rm, writeFile } from 'node:fs/promises';
import { dirname, join } from 'node:path';

/** Files by their paths below a root; null makes one that cannot be read (a folder in its place). */
export type Tree = Readonly<Record<string, string | null>>;

/** Writes the files, over those that are there. */
export async function plant(root: string, tree: Tree): Promise<void> {
  for (const [path, content] of Object.entries(tree)) {
    const place = join(root, path);
    await rm(place, { recursive: true, force: true });
    await mkdir(content === null ? place : dirname(place), { recursive: true });
    if (content !== null) await writeFile(place, `${content}\n`);
  }
}

/** The same files one folder lower, as in `under('sys', …)`. */
export function under(folder: string, tree: Tree): Tree {
  return Object.fromEntries(Object.entries(tree).map(([path, content]) => [join(folder, path), content]));
}

/** An INA3221 as JetPack 4 shows it, in sysfs: milliwatts of each rail. */
export function iio(device: string, rails: Readonly<Record<string, string | null>>): Tree {
  const folder = `bus/i2c/devices/${device}`;
  const files = Object.entries(rails).flatMap(([label, milliwatts], index) => [
    [`${folder}/iio:device0/rail_name_${index}`, label],
    [`${folder}/iio:device0/in_power${index}_input`, milliwatts],
  ]);
  return { [`${folder}/name`]: 'ina3221x', ...Object.fromEntries(files) };
}

/** An INA3221 as JetPack 5 and later show it: millivolts and milliamperes of each rail, from channel 1. */
export function hwmon(
  device: string,
  index: number,
  rails: readonly (readonly [label: string, mv: string | null, ma: string | null])[],
): Tree {
  const folder = `bus/i2c/devices/${device}`;
  const files = rails.flatMap(([label, mv, ma], place) => [
    [`${folder}/hwmon/hwmon${index}/in${place + 1}_label`, label],
    [`${folder}/hwmon/hwmon${index}/in${place + 1}_input`, mv],
    [`${folder}/hwmon/hwmon${index}/curr${place + 1}_input`, ma],
  ]);
  return { [`${folder}/name`]: 'ina3221', ...Object.fromEntries(files) };
}

/** An INA238: microwatts. */
export function ina238(device: string, index: number, microwatts: string | null, label?: string): Tree {
  const folder = `bus/i2c/devices/${device}`;
  const labels = label === undefined ? {} : { [`${folder}/hwmon/hwmon${index}/in1_label`]: label };
  return {
    [`${folder}/name`]: 'ina238',
    [`${folder}/hwmon/hwmon${index}/power1_input`]: microwatts,
    ...labels,
  };
}

/** Thermal zones of the kernel, by type, in thousandths of a degree. */
export function thermalZones(zones: readonly (readonly [type: string, temp: string | null])[]): Tree {
  return Object.fromEntries(
    zones.flatMap(([type, temp], index) => [
      [`devices/virtual/thermal/thermal_zone${index}/type`, type],
      [`devices/virtual/thermal/thermal_zone${index}/temp`, temp],
    ]),
  );
}

/** A GPU of devfreq, with its name in the device tree (which ends with a zero). */
export function devfreqGpu(entry: string, node: string, load: string | null, hertz: string | null): Tree {
  const folder = `class/devfreq/${entry}`;
  return {
    [`${folder}/device/of_node/name`]: `${node}\0`,
    [`${folder}/device/load`]: load,
    [`${folder}/cur_freq`]: hertz,
  };
}

/** A package of an x86 processor: microjoules. */
export function rapl(name: string, index: number, uj: string | null, rangeUj = '1000000'): Tree {
  return {
    [`class/powercap/intel-rapl:${index}/name`]: name,
    [`class/powercap/intel-rapl:${index}/energy_uj`]: uj,
    [`class/powercap/intel-rapl:${index}/max_energy_range_uj`]: rangeUj,
  };
}

/** /proc with processors that were busy and idle for so many ticks. */
export function proc(busy: number, idle: number): Tree {
  return {
    'proc/stat': `cpu  ${busy} 0 0 ${idle} 0 0 0 0 0 0\ncpu0 ${busy} 0 0 ${idle} 0 0 0 0 0 0`,
    'proc/meminfo': 'MemTotal:        8000000 kB\nMemFree:          100000 kB\nMemAvailable:    2000000 kB',
    'proc/pressure/cpu': 'some avg10=12.50 avg60=1.00 avg300=0.10 total=1',
    'proc/pressure/memory':
      'some avg10=2.00 avg60=0.00 avg300=0.00 total=1\nfull avg10=1.00 avg60=0.00 avg300=0.00 total=1',
  };
}

export const JETSON: Tree = {
  'sys/firmware/devicetree/base/model': 'NVIDIA Jetson Orin Nano Developer Kit\0',
};
