import { join } from 'node:path';
import { describeError } from '../errors.ts';
import type { EnergyCounter, NoPowerMeter } from './meter.ts';
import { entriesMatching, readInteger, readText } from './sysfs.ts';

interface Package {
  readonly path: string;
  /** The counter begins again at 0 after this many microjoules. */
  readonly rangeUj: number;
  lastUj: number;
}

/** Microjoules between two readings of a counter that begins again at 0 after `rangeUj`. */
export function counted(lastUj: number, nowUj: number, rangeUj: number): number {
  return nowUj >= lastUj ? nowUj - lastUj : rangeUj - lastUj + nowUj;
}

/**
 * Opens the energy counters of x86 processors (RAPL by way of powercap), those of all packages together.
 * Since Linux 5.10 only root may read them.
 */
export async function openRapl(root: string): Promise<EnergyCounter | NoPowerMeter> {
  const zones: string[] = [];
  for (const zone of await entriesMatching(join(root, 'class/powercap'), /^intel-rapl:\d+$/)) {
    // `psys` is a zone beside the packages, and holds them.
    if ((await readText(join(zone, 'name')))?.startsWith('package') === true) zones.push(zone);
  }
  if (zones.length === 0) return { unavailable: 'there is no RAPL counter' };
  try {
    const packages: Package[] = [];
    for (const zone of zones) packages.push(await openPackage(zone));
    return counterOf(packages);
  } catch (error) {
    return { unavailable: `RAPL: ${describeError(error)}` };
  }
}

async function openPackage(zone: string): Promise<Package> {
  const path = join(zone, 'energy_uj');
  return {
    path,
    rangeUj: await readInteger(join(zone, 'max_energy_range_uj')),
    lastUj: await readInteger(path),
  };
}

function counterOf(packages: readonly Package[]): EnergyCounter {
  let totalUj = 0;
  return {
    kind: 'energy',
    source: `RAPL, ${packages.length} package${packages.length === 1 ? '' : 's'}`,
    scope: 'package',
    readJ: async () => {
      for (const counter of packages) {
        const nowUj = await readInteger(counter.path);
        totalUj += counted(counter.lastUj, nowUj, counter.rangeUj);
        counter.lastUj = nowUj;
      }
      return totalUj / 1e6;
    },
  };
}
