import fc from 'fast-check';
import { expect, test } from 'vitest';
import { ROW_MS } from '../../../controller/history/read/plan.ts';
import { type RollUpRow, startOf } from '../../../controller/history/read/source.ts';
import { groupKey, mergedFrom } from '../../../controller/history/rollup/groups.ts';
import { createRollUpCore } from '../../../controller/history/rollup/roll-up.ts';
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
} from '../../support/summaries.ts';

const DEVICES = ['a', 'b', 'c'];
const TABLES = { minute: ROW_MS.minute, hour: ROW_MS.hour, day: ROW_MS.day };
const DAY = 20_000 * ROW_MS.day;

function windowOf(device: string, at: number): StoredWindow {
  const body = windowBody({ points: [pointWindow([(at % 7) + 1])] });
  return { device: DEVICES.indexOf(device) + 1, at, flags: 0, body };
}

function rollUp(sqlite: Sqlite, groups: Readonly<Record<string, readonly string[]>>): void {
  for (const _ of createRollUpCore(sqlite).rollUp(new Map(Object.entries(groups))));
}

function seriesOf(sqlite: Sqlite, name: string): number | undefined {
  return sqlite
    .prepare<[string], number>("SELECT id FROM series WHERE kind = 'group' AND name = ?")
    .pluck()
    .get(name);
}

function rowsOf(sqlite: Sqlite, name: string): Map<string, unknown> {
  const series = seriesOf(sqlite, name) ?? -1;
  const found = Object.keys(TABLES).flatMap((table) =>
    sqlite
      .prepare<[number], RollUpRow>(`SELECT * FROM rollup_${table} WHERE key >> 32 = ?`)
      .all(series)
      .map((row) => [`${table} ${startOf(row.key)}`, contentOf(summaryOfRow(row, 'all'))] as const),
  );
  return new Map(found.sort(([one], [other]) => (one < other ? -1 : 1)));
}

function fromTs(sqlite: Sqlite, name: string, devices: readonly string[]): number | undefined {
  const value = sqlite
    .prepare<[string], string>('SELECT value FROM meta WHERE key = ?')
    .pluck()
    .get(groupKey(name));
  return mergedFrom(value, devices);
}

test('the rows of a group are what its members did, from when on they are said to be', () => {
  const members = fc.subarray(DEVICES);
  const windows = fc.array(
    fc.record({
      device: fc.constantFrom(...DEVICES),
      at: fc.integer({ min: 0, max: 40 }).map((hours) => DAY + hours * 2 * ROW_MS.hour),
    }),
    { maxLength: 10 },
  );
  const rounds = fc.array(fc.record({ members, windows, steps: fc.option(fc.nat(12)) }), { maxLength: 6 });
  fc.assert(
    fc.property(rounds, members, (parts, last) => {
      const sqlite = memoryHistory(DEVICES);
      const all: StoredWindow[] = [];
      for (const part of parts) {
        const some = part.windows.map(({ device, at }) => windowOf(device, at));
        storeWindows(sqlite, some);
        all.push(...some);
        const steps = createRollUpCore(sqlite).rollUp(new Map([['g', part.members]]));
        for (let step = 0; step < (part.steps ?? 1_000) && steps.next().done !== true; step += 1);
      }
      rollUp(sqlite, { g: last });
      const from = fromTs(sqlite, 'g', last) ?? Number.NaN;
      const own = all.filter(({ device, at }) => last.includes(DEVICES[device - 1] ?? '') && at >= from);
      expect(rowsOf(sqlite, 'g')).toEqual(directRows(own, TABLES));
      sqlite.close();
    }),
    { numRuns: 60 },
  );
});

test('rows of a group begin with the day after the last one that was rolled up', () => {
  const sqlite = memoryHistory(DEVICES);
  rollUp(sqlite, { early: ['a', 'b'] });
  storeWindows(sqlite, [windowOf('a', DAY + ROW_MS.hour)]);
  rollUp(sqlite, { early: ['b', 'a'], later: ['a'] });
  rollUp(sqlite, { early: ['b', 'a'], later: ['a'], latest: ['a'] });
  expect(fromTs(sqlite, 'early', ['a', 'b'])).toBe(0);
  expect(fromTs(sqlite, 'later', ['a'])).toBe(0);
  expect(fromTs(sqlite, 'latest', ['a'])).toBe(DAY + ROW_MS.day);
  expect(rowsOf(sqlite, 'early').size).toBe(3);
});

test('a change of its members deletes the rows of a group, and nobody takes them for those of others', () => {
  const sqlite = memoryHistory(DEVICES);
  rollUp(sqlite, { g: ['a'] });
  storeWindows(sqlite, [windowOf('a', DAY), windowOf('b', DAY)]);
  rollUp(sqlite, { g: ['a'] });
  expect(rowsOf(sqlite, 'g').size).toBe(3);
  expect(fromTs(sqlite, 'g', ['a', 'b'])).toBeUndefined();
  rollUp(sqlite, { g: ['a', 'b'] });
  expect(rowsOf(sqlite, 'g').size).toBe(0);
  expect(fromTs(sqlite, 'g', ['a'])).toBeUndefined();
  expect(fromTs(sqlite, 'g', ['b', 'a', 'b'])).toBe(DAY + ROW_MS.day);
});

test('of a group that is no more nothing is left', () => {
  const sqlite = memoryHistory(DEVICES);
  rollUp(sqlite, { g: ['a'] });
  storeWindows(sqlite, [windowOf('a', DAY)]);
  rollUp(sqlite, { g: ['a'] });
  const series = seriesOf(sqlite, 'g');
  rollUp(sqlite, {});
  expect(seriesOf(sqlite, 'g')).toBeUndefined();
  expect(fromTs(sqlite, 'g', ['a'])).toBeUndefined();
  for (const table of Object.keys(TABLES)) {
    const left = sqlite.prepare(`SELECT count(*) FROM rollup_${table} WHERE key >> 32 = ?`).pluck();
    expect(left.get(series)).toBe(0);
  }
});
