import { AppError } from '../../shared/errors.ts';
import { type Journal, openJournal } from '../journal.ts';

/** A signal stopped the command: the reason that its work's abort signal gives. */
export class Stopped extends AppError {
  readonly by: string;

  /**
   * @param by the signal
   * @param kept what became of the work
   */
  constructor(by: string, kept = 'nothing was kept') {
    super('partial', `${by}: stopped; ${kept}`);
    this.by = by;
  }
}

/**
 * Does long work with a journal, which lies beside what the work makes, unless named; one that nobody named
 * is removed when the work is done. What the work makes is to be written within it: a failure after it would
 * leave nothing.
 * @param out what the work makes
 * @throws whatever the work throws; the journal stays then, if it has a step, and a stop names it
 */
export async function withWork<T>(
  out: string,
  named: string | undefined,
  work: (journal: Journal) => Promise<T>,
): Promise<T> {
  const path = named ?? `${out.replace(/\/+$/, '')}.work`;
  await using journal = await openJournal(path);
  try {
    const result = await work(journal);
    if (named === undefined) journal.discard();
    return result;
  } catch (error) {
    if (!(error instanceof Stopped) || journal.size === 0) throw error;
    throw new Stopped(error.by, `the same command again goes on from here (journal ${path})`);
  }
}
