import { join } from 'node:path';
import { expect, test } from 'vitest';
import { problemsOfHistory } from '../../../controller/history/backup/integrity.ts';
import { openHistory } from '../../../controller/history/history.ts';
import { MIGRATIONS } from '../../../controller/history/migrations.ts';
import { convertOldRows } from '../../../controller/history/migrations-rows.ts';
import { openFleetStore } from '../../../controller/store/fleet-store.ts';
import { fromWire } from '../../../shared/protocol/window-wire.ts';
import { Sketch } from '../../../shared/sketch.ts';
import { openSqlite, openSqliteReadOnly, type Sqlite } from '../../../shared/sqlite.ts';
import { START_TS, WINDOW_MS, windowPacket, wireWindow } from '../../support/history-records.ts';
import { temporaryFolder } from '../../support/temp.ts';

const OLD_VERSION = 2;
const FAMILY = 'a'.repeat(64);
/** Of the latencies 10, 20 and 30 ms, as the version before encoded them. */
const OLD_SKETCH = 'AQDoAQFEASoB';
const WINDOWS = 1_203;

/** A history as the version before left it. */
function makeOld(path: string): void {
  const sqlite = openSqlite(path, { migrations: MIGRATIONS.slice(0, OLD_VERSION) });
  const window = sqlite.prepare(
    `INSERT INTO windows (device, boot_id, seq, ts, clock, duration_ms, family, switches, skipped, unreadable,
       failed, slowdown, requirement, sheds, price)
     VALUES (?, '0000aaaa-0001', ?, ?, 'synced', ${WINDOW_MS}, '${FAMILY}', 1, 2, 3, 4, 1.5,
       '{"latencyMs":50}', 5, ?)`,
  );
  const point = sqlite.prepare(
    "INSERT INTO window_points VALUES (?, ?, 'cpu', ?, 3, 1, 3, 2, 60, 10, 30, ?)",
  );
  const event = sqlite.prepare("INSERT INTO events VALUES (NULL, ?, ?, ?, ?, 'synced', ?, ?)");
  sqlite.exec("INSERT INTO devices (id, first_seen_ts, last_seen_ts) VALUES ('one', 1, 2), ('two', 1, 2)");
  sqlite.exec("INSERT INTO meta VALUES ('epoch', '1234')");
  sqlite.transaction(() => {
    for (let index = 0; index < WINDOWS; index += 1) {
      const seq = Math.floor(index / 2) + 2;
      const device = index % 2 === 0 ? 'one' : 'two';
      const { lastInsertRowid } = window.run(device, seq, START_TS + seq, index % 2 === 0 ? 0.25 : null);
      point.run(lastInsertRowid, 0, 0, Buffer.from(OLD_SKETCH, 'base64'));
      point.run(lastInsertRowid, 1, 3, Buffer.from(OLD_SKETCH, 'base64'));
    }
    const previous = { bootId: '0000aaaa-0000', lastSeq: 9 };
    const boot = JSON.stringify({ kind: 'boot', version: '0.1.0', previous });
    event.run('one', '0000aaaa-0001', 1, START_TS, 'boot', boot);
    event.run('one', 'controller', 1, START_TS, 'alarm', '{"kind":"alarm","what":"x","reason":"y"}');
  })();
  sqlite.close();
}

function convert(sqlite: Sqlite): number {
  return [...convertOldRows(sqlite)].reduce((sum, rows) => sum + rows, 0);
}

function expectConverted(sqlite: Sqlite): void {
  const get = (sql: string) => sqlite.prepare(sql).raw().all();
  expect(problemsOfHistory(sqlite, true)).toEqual([]);
  expect(get('SELECT count(*), count(DISTINCT device * 10000 + seq) FROM windows')).toEqual([
    [WINDOWS, WINDOWS],
  ]);
  expect(
    get(
      'SELECT name, from_seq, to_seq FROM seen JOIN boots ON boots.id = boot JOIN series ON series.id = device ORDER BY name',
    ),
  ).toEqual([
    ['one', 1, 603],
    ['two', 2, 602],
  ]);
  expect(get("SELECT name FROM sqlite_master WHERE name LIKE 'old%' OR name = 'devices'")).toEqual([]);
  expect(get('SELECT boot IS NULL, kind, ts FROM events ORDER BY id')).toEqual([
    [0, 'boot', START_TS],
    [1, 'alarm', START_TS],
  ]);
  expect(get('SELECT previous_boot, previous_last_seq, first_ts FROM boots ORDER BY device LIMIT 1')).toEqual(
    [['0000aaaa-0000', 9, START_TS]],
  );
}

test('old windows and events are moved over whole', async () => {
  await using folder = await temporaryFolder();
  const path = join(folder.path, 'history.db');
  makeOld(path);
  const sqlite = openSqlite(path, { migrations: MIGRATIONS });
  expect(convert(sqlite)).toBe(WINDOWS + 2);
  expectConverted(sqlite);
  const [row] = sqlite.prepare<[], { body: string; at: number }>('SELECT * FROM windows LIMIT 1').all();
  expect(row?.at).toBe(START_TS + 2 - WINDOW_MS / 2);
  const body = fromWire(JSON.parse(row?.body ?? ''));
  expect(body).toMatchObject({ durationMs: WINDOW_MS, family: FAMILY, switches: 1, sheds: 5, price: 0.25 });
  expect(body).toMatchObject({ skipped: 2, unreadable: 3, failed: 4, slowdown: 1.5 });
  expect(body.requirement).toEqual({ latencyMs: 50 });
  expect(body.points).toMatchObject([
    { level: 0 },
    { level: 3, inferences: 3, misses: 1, labelled: 3, correct: 2 },
  ]);
  const latency = body.points[0]?.latencyMs;
  expect(latency).toMatchObject({ count: 3, sum: 60, min: 10, max: 30 });
  expect(Sketch.decode(latency?.sketch ?? '').quantile(0.5)).toBeCloseTo(20, 0);
  sqlite.close();
});

test('a window and an event of one number leave its range whole', async () => {
  await using folder = await temporaryFolder();
  const path = join(folder.path, 'history.db');
  makeOld(path);
  const sqlite = openSqlite(path, { migrations: MIGRATIONS });
  sqlite.exec(
    `INSERT INTO old_events VALUES (NULL, 'two', '0000aaaa-0001', 2, ${START_TS}, 'synced', 'alarm', '{}')`,
  );
  expect(convert(sqlite)).toBe(WINDOWS + 3);
  expect(problemsOfHistory(sqlite, true)).toEqual([]);
  expect(sqlite.prepare('SELECT from_seq, to_seq FROM seen').raw().all()).toEqual([
    [1, 603],
    [2, 602],
  ]);
  sqlite.close();
});

test('a crash after any chunk loses and doubles nothing', async () => {
  await using folder = await temporaryFolder();
  const path = join(folder.path, 'history.db');
  makeOld(path);
  for (let starts = 0; starts < 3; starts += 1) {
    const sqlite = openSqlite(path, { migrations: MIGRATIONS });
    // One chunk is committed; then the program is gone.
    expect(convertOldRows(sqlite).next().done).toBe(false);
    sqlite.close();
  }
  const sqlite = openSqlite(path, { migrations: MIGRATIONS });
  expect(convert(sqlite)).toBe(2);
  expectConverted(sqlite);
  expect(convert(sqlite)).toBe(0);
  sqlite.close();
});

test('a state folder of the version before is taken over, and knows the records it had', async () => {
  await using folder = await temporaryFolder();
  makeOld(join(folder.path, 'history.db'));
  {
    using fleet = openFleetStore(folder.path);
    expect(fleet.devices.all().map(({ id }) => id)).toEqual(['one', 'two']);
    expect(fleet.meta.get('epoch')).toBe('1234');
    await using history = await openHistory({
      stateDir: folder.path,
      now: () => START_TS,
      onFault: (error) => expect.unreachable(error.message),
    });
    const packets = [2, 603, 604].map((seq) => windowPacket(wireWindow({ device: 'one', seq })));
    expect(await history.commit(packets, START_TS)).toMatchObject({ windows: 1, duplicates: 2 });
    expect(await history.stats()).toMatchObject({ windows: WINDOWS + 1, events: 2, lagRecords: WINDOWS + 1 });
  }
  const sqlite = openSqliteReadOnly(join(folder.path, 'history.db'));
  expect(sqlite?.pragma('user_version', { simple: true })).toBe(3);
  sqlite?.close();
});
