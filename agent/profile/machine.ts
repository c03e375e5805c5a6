import { arch, availableParallelism, cpus } from 'node:os';
import { basename, join } from 'node:path';
import { entriesMatching, readText } from '../../shared/power/sysfs.ts';

/** What of a machine decides how long an inference takes and does not change from one moment to the next. */
export interface MachineState {
  /** Name of the board, or of the processor, with its cores. */
  readonly deviceModel: string;
  /** A Jetson's power mode as `nvpmodel` names it; `none` where there are no such modes. */
  readonly powerMode: string;
  /** Limits of the clocks, not what they are now: those move with the load. */
  readonly clocks: string;
}

export interface MachineOptions {
  /** Root of the file system, for tests. */
  readonly root?: string;
  /** One that fails is none: most machines have no power modes. */
  readonly powerMode?: () => Promise<string | undefined>;
}

/** Reads the state that a profile holds for. What cannot be read is left out of it. */
export async function readMachine({ root = '/', powerMode }: MachineOptions = {}): Promise<MachineState> {
  const board = await readText(join(root, 'sys/firmware/devicetree/base/model'));
  const name = board ?? cpus()[0]?.model ?? 'unknown';
  return {
    deviceModel: `${name}, ${availableParallelism()} cores, ${arch()}`,
    powerMode: (await powerMode?.().catch(() => undefined)) ?? 'none',
    clocks: await clockLimits(root),
  };
}

/** Where clocks have their limits, and which files say so. `jetson_clocks` raises the lower ones. */
const CLOCKS = [
  {
    folder: 'sys/devices/system/cpu/cpufreq',
    name: /^policy\d+$/,
    limits: ['scaling_min_freq', 'scaling_max_freq'],
  },
  {
    folder: 'sys/class/devfreq',
    name: /gpu|gv11b|ga10b|gp10b|gm20b|gb10b/,
    limits: ['min_freq', 'max_freq'],
  },
] as const;

/** A device has a few clocks; more than this are not told apart. */
const MAX_CLOCKS = 64;

async function clockLimits(root: string): Promise<string> {
  const found: string[] = [];
  for (const { folder, name, limits } of CLOCKS) {
    for (const clock of await entriesMatching(join(root, folder), name)) {
      const [low, high] = await Promise.all(limits.map((limit) => readText(join(clock, limit))));
      if (low !== undefined && high !== undefined) found.push(`${basename(clock)} ${low}-${high}`);
    }
  }
  return found.slice(0, MAX_CLOCKS).join(', ') || 'unknown';
}
