import { statSync } from 'node:fs';
import { join } from 'node:path';
import fc from 'fast-check';
import { expect, test } from 'vitest';
import { MIGRATIONS } from '../../../controller/history/migrations.ts';
import { ROW_MS } from '../../../controller/history/read/plan.ts';
import { keyOf, startOf } from '../../../controller/history/read/source.ts';
import { checkpoint } from '../../../controller/history/rollup/checkpoint.ts';
import {
  createRetentionCore,
  type RetainResult,
  type Retention,
} from '../../../controller/history/rollup/retention.ts';
import { createRollUpCore } from '../../../controller/history/rollup/roll-up.ts';
import { openSqlite, type Sqlite } from '../../../shared/sqlite.ts';
import { memoryHistory, pointWindow, storeWindows, windowBody } from '../../support/summaries.ts';
import { temporaryFolder } from '../../support/temp.ts';

const NOW = 20_000 * ROW_MS.day + 5 * ROW_MS.hour + 3 * ROW_MS.minute + 7;
const FOREVER: Retention = { rawMs: 0, minuteMs: 0, hourMs: 0, dayMs: 0 };
const body = windowBody({ points: [pointWindow([10])] });

function history(devices: readonly string[], times: readonly number[], isRolledUp = true): Sqlite {
  const sqlite = memoryHistory(devices);
  const windows = devices.flatMap((_, index) =>
    times.map((at) => ({ device: index + 1, at, flags: 0, body })),
  );
  storeWindows(sqlite, windows);
  const event = sqlite.prepare("INSERT INTO events VALUES (NULL, NULL, NULL, 1, ?, 0, 'fault', '{}')");
  for (const at of times) event.run(at);
  if (isRolledUp) for (const _ of createRollUpCore(sqlite).rollUp(new Map([['g', devices]])));
  return sqlite;
}

function retain(sqlite: Sqlite, retention: Partial<Retention>, onBootsDeleted = () => {}): RetainResult {
  const steps = createRetentionCore(sqlite, onBootsDeleted).retain({ ...FOREVER, ...retention }, NOW);
  for (;;) {
    const { done, value } = steps.next();
    if (done === true) return value;
  }
}

function numbers(sqlite: Sqlite, sql: string): number[] {
  return sqlite.prepare<[], number>(sql).pluck().all();
}

test('exactly what is older than it is to be kept is deleted, of every series', () => {
  const kept = fc.record({
    rawMs: fc.constantFrom(0, ROW_MS.minute, ROW_MS.hour),
    minuteMs: fc.constantFrom(0, ROW_MS.hour, ROW_MS.day),
    hourMs: fc.constantFrom(0, ROW_MS.day),
    dayMs: fc.constantFrom(0, 2 * ROW_MS.day),
  });
  const ages = fc.uniqueArray(fc.integer({ min: 0, max: 4 * 24 * 60 }), { minLength: 1, maxLength: 12 });
  fc.assert(
    fc.property(kept, ages, (retention, minutes) => {
      const times = minutes.map((age) => NOW - age * ROW_MS.minute);
      const sqlite = history(['a', 'b'], times);
      const left = (select: string, keptMs: number, lengthMs: number) => {
        const before = numbers(sqlite, select);
        return () =>
          expect(numbers(sqlite, select)).toEqual(
            before.filter(
              (each) => keptMs === 0 || (lengthMs === 0 ? each : startOf(each) + lengthMs) >= NOW - keptMs,
            ),
          );
      };
      const { rawMs, minuteMs, hourMs, dayMs } = retention;
      const checks = [
        left('SELECT at FROM windows ORDER BY id', rawMs, 0),
        left('SELECT ts FROM events ORDER BY id', hourMs, 0),
        left('SELECT key FROM rollup_minute ORDER BY key', minuteMs, ROW_MS.minute),
        left('SELECT key FROM rollup_hour ORDER BY key', hourMs, ROW_MS.hour),
        left('SELECT key FROM rollup_day ORDER BY key', dayMs, ROW_MS.day),
      ];
      retain(sqlite, retention);
      for (const check of checks) check();
      sqlite.close();
    }),
    { numRuns: 40 },
  );
});

test('a window stays until it is in the roll-ups, however old it is', () => {
  const sqlite = history(['a'], [NOW - ROW_MS.day], false);
  expect(retain(sqlite, { rawMs: ROW_MS.hour }).windows).toBe(0);
  for (const _ of createRollUpCore(sqlite).rollUp(new Map()));
  expect(retain(sqlite, { rawMs: ROW_MS.hour }).windows).toBe(1);
  expect(numbers(sqlite, 'SELECT count(*) FROM rollup_minute')).toEqual([2]);
});

test('no step deletes more than a thousand rows, and what it deleted is counted', () => {
  const sqlite = history(
    ['a'],
    Array.from({ length: 2_300 }, (_, index) => NOW - ROW_MS.day - index * ROW_MS.minute),
  );
  const changes = sqlite.prepare<[], number>('SELECT total_changes()').pluck();
  const steps = createRetentionCore(sqlite, () => {}).retain(
    { rawMs: 1, minuteMs: ROW_MS.hour, hourMs: ROW_MS.hour, dayMs: 0 },
    NOW,
  );
  for (let before = changes.get() ?? 0; ; before = changes.get() ?? 0) {
    const { done, value } = steps.next();
    // Triggers count deleted rows: two changes each.
    expect((changes.get() ?? 0) - before).toBeLessThanOrEqual(2_000);
    if (done !== true) continue;
    // The device, its group and the fleet.
    expect(value).toMatchObject({ windows: 2_300, events: 2_300, minutes: 3 * 2_300, days: 0, boots: 0 });
    break;
  }
});

test('boots go when their device has been quiet for longer than anything is kept, and are forgotten at once', () => {
  const sqlite = history(['quiet', 'busy'], []);
  const boot = sqlite.prepare('INSERT INTO boots (id, device, boot_id, first_ts) VALUES (?, ?, ?, ?)');
  const seen = sqlite.prepare('INSERT INTO seen VALUES (?, 1, 5)');
  for (const [id, device] of [
    [1, 1],
    [2, 1],
    [3, 2],
  ] as const) {
    boot.run(id, device, `boot-${id}`, NOW - 5 * ROW_MS.day);
    seen.run(id);
  }
  storeWindows(sqlite, [{ device: 2, at: NOW - ROW_MS.hour, flags: 0, body }]);
  for (const _ of createRollUpCore(sqlite).rollUp(new Map()));
  const retention = { rawMs: 1, minuteMs: ROW_MS.day, hourMs: ROW_MS.day, dayMs: 3 * ROW_MS.day };
  let told = 0;
  const onBootsDeleted = () => {
    told += 1;
  };
  expect(retain(sqlite, { ...retention, dayMs: 6 * ROW_MS.day }, onBootsDeleted).boots).toBe(0);
  expect(retain(sqlite, { ...retention, hourMs: 0 }, onBootsDeleted).boots).toBe(0);
  expect(told).toBe(0);
  expect(retain(sqlite, retention, onBootsDeleted).boots).toBe(2);
  expect(told).toBe(1);
  expect(numbers(sqlite, 'SELECT id FROM boots')).toEqual([3]);
  expect(numbers(sqlite, 'SELECT boot FROM seen')).toEqual([3]);
});

test('a checkpoint empties the log, and cuts it where it is too long', async () => {
  await using folder = await temporaryFolder();
  const path = join(folder.path, 'history.db');
  const sqlite = openSqlite(path, { migrations: MIGRATIONS });
  const insert = sqlite.prepare('INSERT OR REPLACE INTO rollup_day VALUES (?, ?, NULL, NULL, NULL, NULL)');
  for (let day = 0; day < 50; day += 1) insert.run(keyOf(1, day * ROW_MS.day), 'x'.repeat(2_000));
  const written = statSync(`${path}-wal`).size;
  expect(checkpoint(sqlite)).toEqual({ walBytesBefore: written, walBytes: written, isBusy: false });
  expect(checkpoint(sqlite, 10_000)).toEqual({ walBytesBefore: written, walBytes: 0, isBusy: false });
  sqlite.close();
});

test('a reader keeps a checkpoint from ending, and not for long', async () => {
  await using folder = await temporaryFolder();
  const path = join(folder.path, 'history.db');
  const sqlite = openSqlite(path, { migrations: MIGRATIONS });
  const reader = openSqlite(path, { migrations: MIGRATIONS });
  reader.exec('BEGIN; SELECT count(*) FROM rollup_day');
  sqlite.exec("INSERT INTO meta VALUES ('a', 1)");
  expect(checkpoint(sqlite, 0)).toMatchObject({ isBusy: true });
  expect(sqlite.pragma('busy_timeout', { simple: true })).toBe(5_000);
  reader.exec('COMMIT');
  expect(checkpoint(sqlite, 0)).toMatchObject({ walBytes: 0, isBusy: false });
  reader.close();
  sqlite.close();
});
