import type { Sqlite } from '../../../shared/sqlite.ts';
import { ROW_MS, type RollUp } from '../read/plan.ts';
import { keyOf } from '../read/source.ts';
import { ROLLED_UP } from '../schema.ts';
import { createDeletions, ROLL_UPS, STEP_ROWS } from './deletions.ts';

/** How long what is kept, milliseconds; 0: for ever. Events are kept as long as hours. */
export interface Retention {
  readonly rawMs: number;
  readonly minuteMs: number;
  readonly hourMs: number;
  readonly dayMs: number;
}

/** Rows that were deleted. */
export interface RetainResult {
  readonly windows: number;
  readonly events: number;
  readonly minutes: number;
  readonly hours: number;
  readonly days: number;
  readonly boots: number;
}

export interface RetentionCore {
  /**
   * Deletes what is older than it is to be kept, in steps of one short transaction each. A window stays until it
   * is in the roll-ups, a row of a roll-up until all of its time is over. The numbers of boots, which tell
   * repeated records, outlive the records; they go when all that the device ever sent would be too old.
   */
  retain(retention: Retention, nowTs: number): Generator<undefined, RetainResult, undefined>;
}

/**
 * Retention over the connection that writes the history.
 * @param onBootsDeleted called in the step that deleted boots: nobody may go on with what he remembers of them
 */
export function createRetentionCore(sqlite: Sqlite, onBootsDeleted: () => void): RetentionCore {
  const records = recordTables(sqlite);
  const deletions = createDeletions(sqlite);
  const boots = bootTables(sqlite);
  function* rows(table: RollUp, keptMs: number, nowTs: number): Generator<undefined, number, undefined> {
    let deleted = 0;
    // A row that begins so early has ended before.
    const before = endOf(keptMs, nowTs) - ROW_MS[table];
    for (const series of records.series()) {
      if (before > 0) deleted += yield* deletions.before(table, series, before);
      yield undefined;
    }
    return deleted;
  }
  function* quietBoots(retention: Retention, nowTs: number): Generator<undefined, number, undefined> {
    const before = endOf(longestOf(retention), nowTs);
    let deleted = 0;
    for (const device of before > 0 ? boots.devices() : []) {
      const gone = boots.deleteQuiet(device, before);
      if (gone > 0) onBootsDeleted();
      deleted += gone;
      yield undefined;
    }
    return deleted;
  }
  return {
    *retain(retention, nowTs) {
      const { rawMs, minuteMs, hourMs, dayMs } = retention;
      const windows = yield* records.deleteWindows(endOf(rawMs, nowTs));
      const events = yield* records.deleteEvents(endOf(hourMs, nowTs));
      const minutes = yield* rows('minute', minuteMs, nowTs);
      const hours = yield* rows('hour', hourMs, nowTs);
      const days = yield* rows('day', dayMs, nowTs);
      return { windows, events, minutes, hours, days, boots: yield* quietBoots(retention, nowTs) };
    },
  };
}

/** What is before this time has been kept long enough; at the beginning of time for what is kept for ever. */
function endOf(keptMs: number, nowTs: number): number {
  return keptMs === 0 ? 0 : nowTs - keptMs;
}

function longestOf({ rawMs, minuteMs, hourMs, dayMs }: Retention): number {
  const all = [rawMs, minuteMs, hourMs, dayMs];
  return all.includes(0) ? 0 : Math.max(...all);
}

function recordTables(sqlite: Sqlite) {
  const series = sqlite.prepare<[], number>('SELECT id FROM series').pluck();
  const devices = sqlite.prepare<[], number>("SELECT id FROM series WHERE kind = 'device'").pluck();
  const mark = sqlite.prepare<[string], number>('SELECT value FROM meta WHERE key = ?').pluck();
  const windows = sqlite.prepare<[number, number, number]>(
    `DELETE FROM windows WHERE id IN
     (SELECT id FROM windows WHERE device = ? AND at < ? AND id <= ? LIMIT ${STEP_ROWS})`,
  );
  const events = sqlite.prepare<[number]>(
    `DELETE FROM events WHERE id IN (SELECT id FROM events WHERE ts < ? ORDER BY ts LIMIT ${STEP_ROWS})`,
  );
  return {
    series: () => series.all(),
    *deleteWindows(before: number): Generator<undefined, number, undefined> {
      let deleted = 0;
      // There is no index by time alone: one is too much for each insert to pay.
      for (const device of before > 0 ? devices.all() : []) {
        for (let isMore = true; isMore; ) {
          const { changes } = windows.run(device, before, Number(mark.get(ROLLED_UP) ?? 0));
          deleted += changes;
          isMore = changes === STEP_ROWS;
          yield undefined;
        }
      }
      return deleted;
    },
    *deleteEvents(before: number): Generator<undefined, number, undefined> {
      let deleted = 0;
      for (;;) {
        const { changes } = events.run(before);
        deleted += changes;
        yield undefined;
        if (changes < STEP_ROWS) return deleted;
      }
    },
  };
}

function bootTables(sqlite: Sqlite) {
  const devices = sqlite.prepare<[], number>('SELECT DISTINCT device FROM boots').pluck();
  const newest = sqlite
    .prepare<[number], number>('SELECT max(coalesce(first_ts, 0)) FROM boots WHERE device = ?')
    .pluck();
  const record = (table: string) => `EXISTS (SELECT 1 FROM ${table} WHERE device = @device)`;
  const row = (table: string) => `EXISTS (SELECT 1 FROM ${table} WHERE key >= @from AND key < @to)`;
  const has = sqlite
    .prepare<[{ device: number; from: number; to: number }], number>(
      `SELECT ${[...['windows', 'events'].map(record), ...ROLL_UPS.map((table) => row(`rollup_${table}`))].join(' OR ')}`,
    )
    .pluck();
  const deleteSeen = sqlite.prepare('DELETE FROM seen WHERE boot IN (SELECT id FROM boots WHERE device = ?)');
  const deleteBoots = sqlite.prepare('DELETE FROM boots WHERE device = ?');
  const deleteQuiet = sqlite.transaction((device: number, before: number): number => {
    if ((newest.get(device) ?? 0) >= before) return 0;
    // All that it sent stands in some table until the longest retention is over.
    if (has.get({ device, from: keyOf(device, 0), to: keyOf(device + 1, 0) }) === 1) return 0;
    deleteSeen.run(device);
    return deleteBoots.run(device).changes;
  });
  return {
    devices: () => devices.all(),
    /** Deletes the boots of a device and their numbers, unless it sent something after `before`. */
    deleteQuiet: (device: number, before: number): number => deleteQuiet.immediate(device, before),
  };
}
