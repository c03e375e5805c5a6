import { rm } from 'node:fs/promises';
import { type Journal, openJournal } from '../journal.ts';

/**
 * Does long work with a journal, which lies beside what the work makes, unless named; one that nobody named
 * is removed when the work is done.
 * @param out what the work makes
 * @throws whatever the work throws; the journal stays then
 */
export async function withWork<T>(
  out: string,
  named: string | undefined,
  work: (journal: Journal) => Promise<T>,
): Promise<T> {
  const path = named ?? `${out.replace(/\/+$/, '')}.work`;
  const result = await journaled(path, work);
  if (named === undefined) await rm(path, { force: true });
  return result;
}

async function journaled<T>(path: string, work: (journal: Journal) => Promise<T>): Promise<T> {
  await using journal = await openJournal(path);
  return await work(journal);
}
