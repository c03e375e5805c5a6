import { join } from 'node:path';
import { AppError } from '../../shared/errors.ts';
import { readHead } from '../../shared/power/sysfs.ts';
import type { Source } from './unit.ts';

/** Shares of the last 10 seconds in which work waited (kernel documentation, accounting/psi), 0..1. */
export interface Pressure {
  /** Some task waited for a processor. */
  readonly cpu: number;
  /** Some task waited for memory. */
  readonly memory: number;
  /** All tasks waited for memory. */
  readonly memoryFull: number;
}

/**
 * Bytes that can be used without swapping: `MemAvailable` of /proc/meminfo.
 * @param root where the file system begins
 */
export async function openMemory(root: string): Promise<Source<number>> {
  const path = join(root, 'proc/meminfo');
  return {
    read: async () => {
      const kibibytes = /^MemAvailable:\s+(\d{1,12}) kB$/m.exec(await readHead(path))?.[1];
      if (kibibytes !== undefined) return Number(kibibytes) * 1_024;
      throw new AppError('system', `${path}: has no MemAvailable`);
    },
  };
}

/**
 * How much work waits for processors and memory.
 * @param root where the file system begins
 */
export async function openPressure(root: string): Promise<Source<Pressure>> {
  const cpu = join(root, 'proc/pressure/cpu');
  const memory = join(root, 'proc/pressure/memory');
  return {
    read: async () => {
      const waiting = await readHead(memory);
      return {
        cpu: shareOf(await readHead(cpu), 'some', cpu),
        memory: shareOf(waiting, 'some', memory),
        memoryFull: shareOf(waiting, 'full', memory),
      };
    },
  };
}

function shareOf(text: string, kind: 'some' | 'full', path: string): number {
  const percent = new RegExp(`^${kind} avg10=(\\d{1,3}(?:\\.\\d+)?) `, 'm').exec(text)?.[1];
  if (percent !== undefined && Number(percent) <= 100) return Number(percent) / 100;
  throw new AppError('system', `${path}: expected a line of "${kind} avg10"`);
}
