import { floorTo, ROW_MS, type RollUp } from '../read/plan.ts';
import { emptySummary, mergeSummary, type Summary } from '../summary/summary.ts';

/** Takes the summary of a row of a table that begins at `start`; it must not change it. */
export type PutRow = (table: RollUp, start: number, summary: Summary) => void;

export interface Cascade {
  /** Takes the next minute of a series that has one; minutes come by time, each once. */
  add(start: number, summary: Summary): void;
  /** After the last minute. */
  end(): void;
}

/** Makes rows of minutes, and of these the rows of hours and days. */
export function createCascade(put: PutRow): Cascade {
  return createStage('minute', put, createStage('hour', put, createStage('day', put)));
}

/** Adds up parts that begin in the same row of a table, and passes on what is complete. */
function createStage(table: RollUp, put: PutRow, next?: Cascade): Cascade {
  let start = 0;
  let sum: Summary | undefined;
  /** Whether `sum` was made here: what somebody else made is not changed. */
  let isOwn = false;
  const close = (): void => {
    const summary = sum;
    if (summary === undefined) return;
    sum = undefined;
    isOwn = false;
    put(table, start, summary);
    next?.add(start, summary);
  };
  // Added up at once: parts that wait for each other could take any memory.
  const add = (summary: Summary): void => {
    if (sum === undefined) {
      sum = summary;
      return;
    }
    if (!isOwn) sum = copyOf(sum);
    isOwn = true;
    mergeSummary(sum, summary);
  };
  return {
    add: (at, summary) => {
      const row = floorTo(at, ROW_MS[table]);
      if (row !== start) close();
      start = row;
      add(summary);
    },
    end: () => {
      close();
      next?.end();
    },
  };
}

function copyOf(summary: Summary): Summary {
  const copy = emptySummary();
  mergeSummary(copy, summary);
  return copy;
}
