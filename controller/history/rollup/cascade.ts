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
  let parts: Summary[] = [];
  const close = (): void => {
    if (parts.length === 0) return;
    const summary = mergeAll(parts);
    parts = [];
    put(table, start, summary);
    next?.add(start, summary);
  };
  return {
    add: (at, summary) => {
      const row = floorTo(at, ROW_MS[table]);
      if (row !== start) close();
      start = row;
      parts.push(summary);
    },
    end: () => {
      close();
      next?.end();
    },
  };
}

function mergeAll(parts: readonly Summary[]): Summary {
  const [first, ...others] = parts;
  if (first !== undefined && others.length === 0) return first;
  const merged = emptySummary();
  for (const part of parts) mergeSummary(merged, part);
  return merged;
}
