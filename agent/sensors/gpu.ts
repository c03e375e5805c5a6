import { join } from 'node:path';
import { AppError } from '../../shared/errors.ts';
import { entriesMatching, readOptionalInteger, readText } from '../../shared/power/sysfs.ts';
import type { Source } from './unit.ts';

export interface GpuReading {
  /** Busy share, 0..1; undefined where the driver does not tell it (Jetson Thor). */
  readonly load: number | undefined;
  readonly freqHz: number | undefined;
}

/** Files that tell of the GPU; each of them may be missing. */
interface GpuFiles {
  readonly load: string | undefined;
  readonly freq: string | undefined;
}

/** Names of Tegra's GPUs in the device tree. */
const GPU_NODES = ['gv11b', 'gp10b', 'ga10b', 'gb10b', 'gpu'];
/** Names of their entries, where the device tree cannot be seen. */
const GPU_ENTRIES = /^(\d+\.(gv11b|gp10b|ga10b|gb10b|gpu)|gpu-gpc-\d+)$/;
/** Where JetPack 4 has it. */
const OLD_FOLDERS = ['sys/devices/gpu.0', 'sys/devices/platform/gpu.0'];
/** Loads are in thousandths. */
const FULL_LOAD = 1_000;
/** No processor runs faster. */
export const MAX_FREQUENCY_HZ = 2e10;

/**
 * Finds the GPU of a Jetson: load and frequency. Its node may appear long after boot.
 * @param root where the file system begins
 * @throws AppError `system` when there is none
 */
export async function openGpu(root: string): Promise<Source<GpuReading>> {
  const files = (await devfreqFiles(root)) ?? (await oldFiles(root));
  if (files === undefined) throw new AppError('system', 'there is no GPU of a Jetson');
  return { read: async () => await readGpu(files) };
}

async function readGpu({ load, freq }: GpuFiles): Promise<GpuReading> {
  const perMille = load === undefined ? undefined : await readOptionalInteger(load);
  const freqHz = freq === undefined ? undefined : await readOptionalInteger(freq);
  const isLoad = perMille !== undefined && perMille >= 0 && perMille <= FULL_LOAD;
  const isFreq = freqHz !== undefined && freqHz > 0 && freqHz <= MAX_FREQUENCY_HZ;
  if (perMille !== undefined && !isLoad) {
    throw new AppError('system', `${load}: ${perMille}, expected 0 to ${FULL_LOAD}`);
  }
  if (!isLoad && !isFreq) throw new AppError('system', `${load ?? freq}: cannot be read`);
  return { load: isLoad ? perMille / FULL_LOAD : undefined, freqHz: isFreq ? freqHz : undefined };
}

async function devfreqFiles(root: string): Promise<GpuFiles | undefined> {
  for (const entry of await entriesMatching(join(root, 'sys/class/devfreq'), /./)) {
    if (!(await isGpu(entry))) continue;
    return { load: join(entry, 'device/load'), freq: join(entry, 'cur_freq') };
  }
  return undefined;
}

async function isGpu(entry: string): Promise<boolean> {
  const node = await readText(join(entry, 'device/of_node/name'));
  if (node !== undefined && node !== '') return GPU_NODES.includes(node) || isNamedGpu(entry);
  return isNamedGpu(entry);
}

function isNamedGpu(entry: string): boolean {
  return GPU_ENTRIES.test(entry.slice(entry.lastIndexOf('/') + 1));
}

async function oldFiles(root: string): Promise<GpuFiles | undefined> {
  for (const folder of OLD_FOLDERS.map((path) => join(root, path))) {
    if ((await readText(join(folder, 'load'))) === undefined) continue;
    const [devfreq] = await entriesMatching(join(folder, 'devfreq'), /./);
    return {
      load: join(folder, 'load'),
      freq: devfreq === undefined ? undefined : join(devfreq, 'cur_freq'),
    };
  }
  return undefined;
}
