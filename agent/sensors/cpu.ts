import { join } from 'node:path';
import { AppError } from '../../shared/errors.ts';
import { entriesMatching, readHead, readOptionalInteger } from '../../shared/power/sysfs.ts';
import type { Source } from './unit.ts';

/** Time that all processors together have spent, in ticks. */
export interface CpuTimes {
  readonly busy: number;
  readonly total: number;
}

/**
 * The first line of /proc/stat. Time of guests is part of user time and not counted again; waiting for a disk
 * is idle (proc(5)).
 * @throws AppError `system` when it is something else
 */
export function parseCpuTimes(text: string): CpuTimes {
  const fields = /^cpu +((?:\d{1,15} ?){4,})/.exec(text)?.[1]?.trim().split(' ').map(Number);
  if (fields === undefined) {
    throw new AppError('system', `/proc/stat: begins with "${text.slice(0, 40)}", expected times of cpu`);
  }
  const [, , , idle = 0, waiting = 0] = fields;
  const total = fields.slice(0, 8).reduce((sum, ticks) => sum + ticks, 0);
  return { busy: total - idle - waiting, total };
}

/** Busy share between two readings, 0..1; undefined when no time went by, or the counters went back. */
export function busyShare(before: CpuTimes, after: CpuTimes): number | undefined {
  const total = after.total - before.total;
  if (total <= 0) return undefined;
  return Math.min(1, Math.max(0, (after.busy - before.busy) / total));
}

/**
 * Busy share of all processors since the reading before, 0..1.
 * @param root where the file system begins
 */
export async function openCpu(root: string): Promise<Source<number>> {
  const readTimes = async (): Promise<CpuTimes> => parseCpuTimes(await readHead(join(root, 'proc/stat')));
  let last: CpuTimes | undefined;
  return {
    read: async () => {
      const before = last;
      last = await readTimes();
      return before === undefined ? undefined : busyShare(before, last);
    },
  };
}

/**
 * Frequency of the fastest processor at this moment, hertz.
 * @param root where the file system begins
 * @throws AppError `system` when the kernel does not tell it
 */
export async function openCpuFrequency(root: string): Promise<Source<number>> {
  const folder = join(root, 'sys/devices/system/cpu');
  const policies = await entriesMatching(join(folder, 'cpufreq'), /^policy\d+$/);
  const cpus = (await entriesMatching(folder, /^cpu\d+$/)).map((path) => join(path, 'cpufreq'));
  // Processors of one policy share a frequency.
  const files = (policies.length > 0 ? policies : cpus).map((path) => join(path, 'scaling_cur_freq'));
  return {
    read: async () => {
      let fastest = 0;
      for (const file of files) fastest = Math.max(fastest, (await readOptionalInteger(file)) ?? 0);
      if (fastest > 0) return fastest * 1e3;
      throw new AppError('system', `${folder}: no processor tells its frequency`);
    },
  };
}
