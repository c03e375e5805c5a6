import type { Sqlite } from '../../../shared/sqlite.ts';
import type { RollUp } from '../read/plan.ts';
import { keyOf } from '../read/source.ts';

/**
 * Rows that are deleted in one transaction, at most: a few milliseconds each thousand. Their pages are used
 * again by later rows; they are not given back to the file system, which would write everything once more
 * and wear flash.
 */
export const STEP_ROWS = 1_000;

export const ROLL_UPS = ['minute', 'hour', 'day'] as const satisfies readonly RollUp[];

export interface Deletions {
  /** Deletes the rows of a series that begin before `to`, in steps. @returns how many there were */
  before(table: RollUp, series: number, to: number): Generator<undefined, number, undefined>;
  /** Deletes all rows of a series, in steps. */
  rowsOf(series: number): Generator<undefined, number, undefined>;
}

/** Deletes rows of the roll-ups. */
export function createDeletions(sqlite: Sqlite): Deletions {
  const prepare = (table: RollUp) =>
    sqlite.prepare<[number, number]>(
      `DELETE FROM rollup_${table} WHERE key IN
       (SELECT key FROM rollup_${table} WHERE key >= ? AND key < ? LIMIT ${STEP_ROWS})`,
    );
  const statements = { minute: prepare('minute'), hour: prepare('hour'), day: prepare('day') };
  function* between(table: RollUp, from: number, to: number): Generator<undefined, number, undefined> {
    let deleted = 0;
    for (;;) {
      const { changes } = statements[table].run(from, to);
      deleted += changes;
      if (changes < STEP_ROWS) return deleted;
      yield undefined;
    }
  }
  return {
    before: (table, series, to) => between(table, keyOf(series, 0), keyOf(series, to)),
    *rowsOf(series) {
      let deleted = 0;
      for (const table of ROLL_UPS) {
        deleted += yield* between(table, keyOf(series, 0), keyOf(series + 1, 0));
        yield undefined;
      }
      return deleted;
    },
  };
}
