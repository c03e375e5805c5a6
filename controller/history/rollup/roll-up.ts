import type { Sqlite } from '../../../shared/sqlite.ts';
import type { RawRow } from '../read/source.ts';
import { ROLLED_UP } from '../schema.ts';
import { GATHERING_LIMITS, Gathering } from './gathering.ts';
import { createGroupKeeper, type GroupMembers } from './groups.ts';
import { createRowMaker, type NewRow } from './row-maker.ts';

export interface RollUpResult {
  /** Windows that were merged into the roll-ups. */
  readonly windows: number;
  /** Of these, such that could not be read to their end: the file is damaged. */
  readonly damaged: number;
  /** Rows that were written. */
  readonly rows: number;
}

export interface RollUpCore {
  /**
   * Merges all windows that are not in the roll-ups yet into those of their device, of its groups and of the
   * fleet, each exactly once, whenever it is ended: after a transaction it goes on where that one ended.
   * Each step takes milliseconds and leaves no transaction open; only what writes the rows takes longer.
   * @param groups devices of every group
   */
  rollUp(groups: GroupMembers): Generator<undefined, RollUpResult, undefined>;
}

/** Operating points that are merged from windows in one step, at most: some 20 ms. */
const STEP_POINTS = 1_000;

/** Roll-ups over the connection that writes the history; one at a time. */
export function createRollUpCore(sqlite: Sqlite, limits = GATHERING_LIMITS): RollUpCore {
  const tables = rollUpTables(sqlite);
  const keeper = createGroupKeeper(sqlite, tables.fleet);
  const maker = createRowMaker(sqlite);
  return {
    *rollUp(members) {
      const last = tables.newest();
      const groups = yield* keeper.update(members);
      const result = { windows: 0, damaged: 0, rows: 0 };
      for (let id = tables.rolledUp(); id < last; ) {
        const gathering = new Gathering(limits, groups.length + 1);
        do {
          id = tables.gather(gathering, id, last);
          gathering.weigh();
          yield undefined;
        } while (id < last && !gathering.isFull);
        const rows = yield* maker.rowsOf(gathering.minutes, { fleet: tables.fleet(), groups });
        tables.write(rows, id);
        result.rows += rows.length;
        result.windows += gathering.windows;
        result.damaged += gathering.damaged;
        yield undefined;
      }
      return result;
    },
  };
}

function rollUpTables(sqlite: Sqlite) {
  const mark = sqlite.prepare<[string], number>('SELECT value FROM meta WHERE key = ?').pluck();
  const newest = sqlite.prepare<[], number | null>('SELECT max(id) FROM windows').pluck();
  const windows = sqlite.prepare<[number, number], RawRow>(
    'SELECT id, device, at, flags, body FROM windows WHERE id > ? AND id <= ? ORDER BY id',
  );
  const fleet = sqlite.prepare<[], number>("SELECT id FROM series WHERE kind = 'fleet'").pluck();
  const makeFleet = sqlite.prepare("INSERT INTO series (kind, name) VALUES ('fleet', '')");
  const setMark = sqlite.prepare('INSERT OR REPLACE INTO meta VALUES (?, ?)');
  const put = (table: NewRow['table']) =>
    sqlite.prepare(`INSERT OR REPLACE INTO rollup_${table} VALUES (?, ?, ?, ?, ?, ?)`);
  const puts = { minute: put('minute'), hour: put('hour'), day: put('day') };
  const write = sqlite.transaction((rows: readonly NewRow[], lastId: number) => {
    for (const { table, key, row } of rows) {
      puts[table].run(key, row.body, row.latency, row.slowdown, row.queue, row.energy);
    }
    setMark.run(ROLLED_UP, lastId);
  });
  return {
    rolledUp: () => Number(mark.get(ROLLED_UP) ?? 0),
    newest: () => newest.get() ?? 0,
    /** Number of the fleet's series, which is made where there is none. */
    fleet: () => fleet.get() ?? Number(makeFleet.run().lastInsertRowid),
    /** Adds the windows after `id`, as many as one step may take. @returns the last id that was looked at */
    gather: (gathering: Gathering, id: number, last: number): number => {
      let points = 0;
      for (const row of windows.iterate(id, last)) {
        points += gathering.add(row);
        if (points >= STEP_POINTS || gathering.isFull) return row.id;
      }
      return last;
    },
    /** Writes the rows and how far they go, in one transaction. */
    write: (rows: readonly NewRow[], lastId: number): void => write.immediate(rows, lastId),
  };
}
