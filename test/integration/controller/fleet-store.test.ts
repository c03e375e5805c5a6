import { join } from 'node:path';
import { expect, test } from 'vitest';
import { MIGRATIONS } from '../../../controller/history/migrations.ts';
import { openFleetStore } from '../../../controller/store/fleet-store.ts';
import { FLEET_MIGRATIONS } from '../../../controller/store/migrations.ts';
import { openSqlite } from '../../../shared/sqlite.ts';
import { temporaryFolder } from '../../support/temp.ts';

const PRESENCE = { online: true, session: 's', bootIds: ['0000aaaa-0001'], sinceTs: 5 };

/** What a controller of the version before left: everything in one file. */
function writeOldHistory(folder: string, epoch: string): void {
  const old = openSqlite(join(folder, 'history.db'), { migrations: MIGRATIONS.slice(0, 2) });
  old.exec(`
    INSERT INTO meta VALUES ('epoch', '${epoch}'), ('n', '42'), ('token-sha256', 'abc');
    INSERT INTO devices VALUES ('jetson-1', 1, 2, '${JSON.stringify(PRESENCE)}', NULL, '{"site":"lab"}');
    INSERT INTO groups VALUES ('indoor', 7, NULL, '["jetson-1"]', 0);
    INSERT INTO desired VALUES
      ('group', 'indoor', ${epoch}, 41, '{"latencyMs":20}', '{}', '[]'),
      ('device', 'jetson-1', ${epoch}, 42, '{}', '{}', '[{"name":"indoor","priority":7}]');
  `);
  old.close();
}

test('what the version before kept in the history is taken over, once', async () => {
  await using folder = await temporaryFolder();
  writeOldHistory(folder.path, '1700000000');
  {
    using store = openFleetStore(folder.path);
    expect(store.meta.get('epoch')).toBe('1700000000');
    expect([store.meta.get('n'), store.meta.get('token-sha256')]).toEqual(['42', 'abc']);
    expect(store.devices.all()).toEqual([
      { id: 'jetson-1', firstSeenTs: 1, lastSeenTs: 2, presence: PRESENCE, labels: { site: 'lab' } },
    ]);
    expect(store.groups.all()).toMatchObject([{ name: 'indoor', priority: 7, members: ['jetson-1'] }]);
    expect(store.desired.all().map(({ kind, version }) => [kind, version.n])).toEqual([
      ['device', 42],
      ['group', 41],
    ]);
    store.meta.set('n', '43');
    store.groups.remove('indoor');
  }
  // The history may still be as it was, after a crash: what has happened since is not undone.
  using again = openFleetStore(folder.path);
  expect(again.meta.get('n')).toBe('43');
  expect(again.groups.all()).toEqual([]);
});

test('a start that was killed before the takeover was whole makes it good', async () => {
  await using folder = await temporaryFolder();
  writeOldHistory(folder.path, '1700000000');
  openSqlite(join(folder.path, 'fleet.db'), { migrations: FLEET_MIGRATIONS }).close();
  using store = openFleetStore(folder.path);
  expect(store.meta.get('epoch')).toBe('1700000000');
  expect(store.devices.all()).toHaveLength(1);
});

test('a new folder, and a history of the present version, have nothing to take over', async () => {
  await using folder = await temporaryFolder();
  openSqlite(join(folder.path, 'history.db'), { migrations: MIGRATIONS }).close();
  using store = openFleetStore(folder.path);
  expect(store.meta.get('epoch')).toBeUndefined();
  expect(store.devices.all()).toEqual([]);
});

test('a folder that another controller has, of this version or the one before, is refused', async () => {
  await using folder = await temporaryFolder();
  const old = openSqlite(join(folder.path, 'history.db'), {
    migrations: MIGRATIONS.slice(0, 2),
    exclusive: true,
  });
  expect(() => openFleetStore(folder.path)).toThrow(/history\.db: another process has it open/);
  old.close();
  using _store = openFleetStore(folder.path);
  expect(() => openFleetStore(folder.path)).toThrow(/fleet\.db: another process has it open/);
});

test('what is stored survives a power cut', async () => {
  await using folder = await temporaryFolder();
  using store = openFleetStore(folder.path);
  const FULL = 2;
  expect(store.sqlite.pragma('synchronous', { simple: true })).toBe(FULL);
});
