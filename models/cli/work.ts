import { rm } from 'node:fs/promises';

/**
 * Where the journal of long work lies: beside what it makes, unless named.
 * @param out what the work makes
 */
export function workPath(out: string, named: string | undefined): string {
  return named ?? `${out.replace(/\/+$/, '')}.work`;
}

/** Removes the journal of work that is done. */
export async function removeWork(path: string): Promise<void> {
  await rm(path, { force: true });
}
