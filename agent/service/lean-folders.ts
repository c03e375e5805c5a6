import { existsSync } from 'node:fs';
import { readdir, rm } from 'node:fs/promises';
import { join } from 'node:path';
import { isSystemError } from '../../shared/errors.ts';

const LEAN = 'lean';

/**
 * Where the lean models of a family lie: each has a folder of its own, so that making those of another one
 * leaves those of the one that serves alone.
 */
export function leanFolder(stateDir: string, family: string): string {
  return join(stateDir, LEAN, family);
}

/**
 * Removes lean models of families that are no longer on this device. Files that are mapped stay so.
 * @param inUse SHA-256 of families that stay in any case
 */
export async function pruneLean(stateDir: string, inUse: readonly string[]): Promise<void> {
  const folder = join(stateDir, LEAN);
  for (const family of await namesIn(folder)) {
    if (inUse.includes(family) || existsSync(join(stateDir, 'families', family))) continue;
    // What cannot be removed now is so another time.
    await rm(join(folder, family), { recursive: true, force: true, maxRetries: 3 }).catch(() => undefined);
  }
}

async function namesIn(folder: string): Promise<string[]> {
  try {
    return await readdir(folder);
  } catch (error) {
    if (isSystemError(error, 'ENOENT')) return [];
    throw error;
  }
}
