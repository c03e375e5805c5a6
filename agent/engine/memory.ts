import { readFile } from 'node:fs/promises';
import { join } from 'node:path';

const KIBIBYTE = 1_024;
/** A device with less than this share of its memory left is about to kill processes. */
const LEAST_AVAILABLE_SHARE = 0.1;

/** Memory of the whole device, bytes. */
export interface DeviceMemory {
  readonly totalBytes: number;
  /** What can be taken without swapping. */
  readonly availableBytes: number;
}

/**
 * Proportional set size of this process, bytes: its own pages, and its share of those that others map too.
 * Kernels before 4.14 have no sum of it, and none tells of it outside of Linux: then every mapping is added
 * up, or the resident set stands for it, which is never less.
 * @param proc where proc is mounted
 */
export async function processMemory(proc = '/proc'): Promise<number> {
  for (const file of ['smaps_rollup', 'smaps']) {
    const text = await readFile(join(proc, 'self', file), 'utf8').catch(() => '');
    const sizes = [...text.matchAll(/^Pss:\s+(\d+) kB$/gm)].map(([, kibibytes]) => Number(kibibytes));
    if (sizes.length > 0) return sizes.reduce((sum, size) => sum + size, 0) * KIBIBYTE;
  }
  return process.memoryUsage.rss();
}

/**
 * Memory of the device; undefined where it is not told.
 * @param proc where proc is mounted
 */
export async function deviceMemory(proc = '/proc'): Promise<DeviceMemory | undefined> {
  const text = await readFile(join(proc, 'meminfo'), 'utf8').catch(() => '');
  const bytesOf = (name: string): number =>
    Number(new RegExp(`^${name}:\\s+(\\d+) kB$`, 'm').exec(text)?.[1]) * KIBIBYTE;
  const memory = { totalBytes: bytesOf('MemTotal'), availableBytes: bytesOf('MemAvailable') };
  return Number.isFinite(memory.totalBytes) && Number.isFinite(memory.availableBytes) ? memory : undefined;
}

/** Whether nothing more should be loaded, and what is not needed at once given up. */
export function isMemoryShort({ totalBytes, availableBytes }: DeviceMemory): boolean {
  return availableBytes < LEAST_AVAILABLE_SHARE * totalBytes;
}
