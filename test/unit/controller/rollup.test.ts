import fc from 'fast-check';
import { expect, test } from 'vitest';
import { ROW_MS } from '../../../controller/history/read/plan.ts';
import { type RollUpRow, startOf } from '../../../controller/history/read/source.ts';
import { createRollUpCore } from '../../../controller/history/rollup/roll-up.ts';
import { FLAGS } from '../../../controller/history/schema.ts';
import { summaryOfRow } from '../../../controller/history/summary/rows.ts';
import type { Sqlite } from '../../../shared/sqlite.ts';
import {
  contentOf,
  directRows,
  memoryHistory,
  pointWindow,
  type StoredWindow,
  storeWindows,
  windowBody,
  windows,
} from '../../support/summaries.ts';

const DEVICES = ['a', 'b', 'c'];
const TABLES = { minute: ROW_MS.minute, hour: ROW_MS.hour, day: ROW_MS.day };
/** Begin of a day. */
const DAY = 20_000 * ROW_MS.day;
const NO_GROUPS = new Map<string, readonly string[]>();

/** Times at which rows of all three tables begin and end, and others. */
const at = fc
  .tuple(fc.integer({ min: -1, max: 1 }), fc.integer({ min: -1, max: 1 }), fc.integer({ min: -61, max: 61 }))
  .map(([day, hour, s]) => DAY + day * ROW_MS.day + hour * ROW_MS.hour + s * 1_000);
const stored: fc.Arbitrary<StoredWindow> = fc.record({
  device: fc.integer({ min: 1, max: DEVICES.length }),
  at,
  flags: fc.constantFrom(0, FLAGS.late),
  body: windows(3),
});

/** Does all of a job's steps, or only the first ones. */
function drive<T>(steps: Generator<undefined, T, undefined>, count = Number.POSITIVE_INFINITY): void {
  for (let step = 0; step < count && steps.next().done !== true; step += 1);
}

function rowsOf(sqlite: Sqlite, series: number): Map<string, unknown> {
  const found = Object.keys(TABLES).flatMap((table) =>
    sqlite
      .prepare<[number], RollUpRow>(`SELECT * FROM rollup_${table} WHERE key >> 32 = ?`)
      .all(series)
      .map((row) => [`${table} ${startOf(row.key)}`, contentOf(summaryOfRow(row, 'all'))] as const),
  );
  return new Map(found.sort(([one], [other]) => (one < other ? -1 : 1)));
}

function seriesOf(sqlite: Sqlite, kind: string, name: string): number {
  return Number(sqlite.prepare('SELECT id FROM series WHERE kind = ? AND name = ?').pluck().get(kind, name));
}

/** Compares the rows of every device, and of the fleet, with their windows. */
function expectRowsOf(sqlite: Sqlite, all: readonly StoredWindow[]): void {
  for (const [index] of DEVICES.entries()) {
    const own = all.filter(({ device }) => device === index + 1);
    expect(rowsOf(sqlite, index + 1)).toEqual(directRows(own, TABLES));
  }
  expect(rowsOf(sqlite, seriesOf(sqlite, 'fleet', ''))).toEqual(directRows(all, TABLES));
}

test('roll-ups hold every window once, however they come, are batched and are broken off', () => {
  const batches = fc.array(
    fc.record({ windows: fc.array(stored, { maxLength: 8 }), steps: fc.integer({ min: 0, max: 40 }) }),
    { minLength: 1, maxLength: 4 },
  );
  const limits = fc.record({
    windows: fc.integer({ min: 1, max: 10 }),
    minutes: fc.integer({ min: 1, max: 10 }),
    bytes: fc.constantFrom(0, 1e9),
  });
  fc.assert(
    fc.property(batches, limits, (parts, limit) => {
      const sqlite = memoryHistory(DEVICES);
      for (const { windows: some, steps } of parts) {
        storeWindows(sqlite, some);
        // The process ends, and another one goes on.
        drive(createRollUpCore(sqlite, limit).rollUp(NO_GROUPS), steps);
      }
      drive(createRollUpCore(sqlite, limit).rollUp(NO_GROUPS));
      expectRowsOf(
        sqlite,
        parts.flatMap((part) => part.windows),
      );
      sqlite.close();
    }),
    { numRuns: 40 },
  );
});

test('a transaction that fails leaves the roll-ups as they were, and the next one makes up for it', () => {
  const sqlite = memoryHistory(DEVICES);
  const [first, second] = fc.sample(fc.array(stored, { minLength: 5, maxLength: 9 }), {
    seed: 1,
    numRuns: 2,
  });
  const core = createRollUpCore(sqlite);
  storeWindows(sqlite, first ?? []);
  drive(core.rollUp(NO_GROUPS));
  storeWindows(sqlite, second ?? []);
  sqlite.exec(`CREATE TEMP TRIGGER fail BEFORE INSERT ON meta WHEN new.key = 'rolledUp'
    BEGIN SELECT RAISE(ABORT, 'the disk is full'); END`);
  expect(() => drive(core.rollUp(NO_GROUPS))).toThrow('the disk is full');
  expectRowsOf(sqlite, first ?? []);
  sqlite.exec('DROP TRIGGER fail');
  drive(core.rollUp(NO_GROUPS));
  expectRowsOf(sqlite, [...(first ?? []), ...(second ?? [])]);
});

test('windows that are stored while a roll-up is under way are taken by the next one', () => {
  const sqlite = memoryHistory(DEVICES);
  const all = fc.sample(stored, { seed: 2, numRuns: 30 });
  const core = createRollUpCore(sqlite, { windows: 4, minutes: 100, bytes: 1e9 });
  storeWindows(sqlite, all.slice(0, 10));
  const steps = core.rollUp(NO_GROUPS);
  steps.next();
  for (const window of all.slice(10)) {
    storeWindows(sqlite, [window]);
    steps.next();
  }
  drive(steps);
  expect(sqlite.prepare("SELECT value FROM meta WHERE key = 'rolledUp'").pluck().get()).toBe(10);
  drive(core.rollUp(NO_GROUPS));
  expectRowsOf(sqlite, all);
});

test('a roll-up says how many windows it merged, and that there is nothing more to do', () => {
  const sqlite = memoryHistory(DEVICES);
  const body = windowBody({ points: [pointWindow([10])] });
  storeWindows(
    sqlite,
    [1, 2, 2].map((device) => ({ device, at: DAY, flags: 0, body })),
  );
  const steps = createRollUpCore(sqlite).rollUp(NO_GROUPS);
  for (;;) {
    const { done, value } = steps.next();
    if (done !== true) continue;
    // Two devices and the fleet, a minute, an hour and a day each.
    expect(value).toEqual({ windows: 3, damaged: 0, rows: 9 });
    break;
  }
  expect(createRollUpCore(sqlite).rollUp(NO_GROUPS).next()).toEqual({
    done: true,
    value: { windows: 0, damaged: 0, rows: 0 },
  });
});

test('a window that cannot be read is left out and counted; those behind it are not held up', () => {
  const sqlite = memoryHistory(DEVICES);
  const good = { device: 1, at: DAY, flags: 0, body: windowBody({ points: [pointWindow([10])] }) };
  storeWindows(sqlite, [good, good, good]);
  sqlite.exec('UPDATE windows SET body = \'{"d":\' WHERE id = 2');
  const steps = createRollUpCore(sqlite).rollUp(NO_GROUPS);
  let last = steps.next();
  while (last.done !== true) last = steps.next();
  expect(last.value).toMatchObject({ windows: 3, damaged: 1 });
  expectRowsOf(sqlite, [good, good]);
});
