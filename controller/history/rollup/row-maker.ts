import type { Sqlite } from '../../../shared/sqlite.ts';
import type { RollUp } from '../read/plan.ts';
import { keyOf, type RollUpRow } from '../read/source.ts';
import { rowOf, type SummaryRow, summaryOfRow } from '../summary/rows.ts';
import { emptySummary, mergeSummary, type Summary } from '../summary/summary.ts';
import { createCascade } from './cascade.ts';
import type { Minutes } from './gathering.ts';
import type { GroupSeries } from './groups.ts';

/** A row as it is to be, what was in it before included. */
export interface NewRow {
  readonly table: RollUp;
  readonly key: number;
  readonly row: SummaryRow;
}

/** The series besides those of devices. */
export interface MergedSeries {
  readonly fleet: number;
  readonly groups: readonly GroupSeries[];
}

export interface RowMaker {
  /**
   * Makes the rows of devices, groups and the fleet at all resolutions out of new minutes of devices, in short
   * steps. Nobody else may write rows until these are written.
   */
  rowsOf(minutes: Minutes, merged: MergedSeries): Generator<undefined, NewRow[], undefined>;
}

/** Operating points that are merged in one step, at most: some 20 ms. */
const STEP_POINTS = 500;

/** Summaries by the begin of their minute: for several devices several. */
type Parts = ReadonlyMap<number, readonly Summary[]>;

/** How many points were merged since the last pause. */
interface Pace {
  points: number;
}

type Pauses<T> = Generator<undefined, T, undefined>;

/** Makes rows over the connection that writes the history. */
export function createRowMaker(sqlite: Sqlite): RowMaker {
  const stored = storedRows(sqlite);
  const devices = sqlite
    .prepare<[], [string, number]>("SELECT name, id FROM series WHERE kind = 'device'")
    .raw();
  function* addSeries(series: number, parts: Parts, rows: NewRow[], pace: Pace): Pauses<void> {
    const cascade = createCascade((table, start, summary) => {
      const key = keyOf(series, start);
      rows.push({ table, key, row: rowOf(stored.plus(table, key, summary)) });
      pace.points += 1 + summary.points.size;
    });
    for (const start of [...parts.keys()].sort((a, b) => a - b)) {
      cascade.add(start, yield* sumOf(parts.get(start) ?? [], pace));
      if (isDue(pace)) yield undefined;
    }
    cascade.end();
  }
  return {
    *rowsOf(minutes, { fleet, groups }) {
      const rows: NewRow[] = [];
      const pace = { points: 0 };
      for (const series of minutes.keys()) {
        yield* addSeries(series, partsOf(minutes, [series], 0), rows, pace);
      }
      const ids = groups.length === 0 ? new Map<string, number>() : new Map(devices.all());
      for (const { series, fromTs, devices: names } of groups) {
        const members = new Set(names.flatMap((name) => ids.get(name) ?? []));
        yield* addSeries(series, partsOf(minutes, members, fromTs), rows, pace);
      }
      yield* addSeries(fleet, partsOf(minutes, minutes.keys(), 0), rows, pace);
      return rows;
    },
  };
}

function isDue(pace: Pace): boolean {
  if (pace.points < STEP_POINTS) return false;
  pace.points = 0;
  return true;
}

function* sumOf(parts: readonly Summary[], pace: Pace): Pauses<Summary> {
  const [first, ...others] = parts;
  if (first !== undefined && others.length === 0) return first;
  const sum = emptySummary();
  for (const part of parts) {
    mergeSummary(sum, part);
    pace.points += part.points.size;
    if (isDue(pace)) yield undefined;
  }
  return sum;
}

/** The minutes of some devices from a time on. */
function partsOf(minutes: Minutes, series: Iterable<number>, fromTs: number): Parts {
  const parts = new Map<number, Summary[]>();
  for (const each of series) {
    for (const [start, summary] of minutes.get(each) ?? []) {
      if (start < fromTs) continue;
      const known = parts.get(start);
      if (known === undefined) parts.set(start, [summary]);
      else known.push(summary);
    }
  }
  return parts;
}

interface StoredRows {
  /** What the row holds, and the summary; neither is changed. */
  plus(table: RollUp, key: number, summary: Summary): Summary;
}

function storedRows(sqlite: Sqlite): StoredRows {
  const prepare = (table: RollUp) =>
    sqlite.prepare<[number], RollUpRow>(
      `SELECT key, body, latency, slowdown, queue, energy FROM rollup_${table} WHERE key = ?`,
    );
  const select = { minute: prepare('minute'), hour: prepare('hour'), day: prepare('day') };
  return {
    plus: (table, key, summary) => {
      const row = select[table].get(key);
      if (row === undefined) return summary;
      const sum = summaryOfRow(row, 'all');
      mergeSummary(sum, summary);
      return sum;
    },
  };
}
