import { cp, mkdir, readdir, readFile, rename, rm, stat, truncate, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { afterAll, afterEach, beforeAll, beforeEach, expect, test } from 'vitest';
import { backupState } from '../../../controller/history/backup/backup.ts';
import { problemsOfHistory } from '../../../controller/history/backup/integrity.ts';
import { readBackup } from '../../../controller/history/backup/manifest.ts';
import { restoreBackup } from '../../../controller/history/backup/restore.ts';
import { type History, openHistory } from '../../../controller/history/history.ts';
import { openHistoryDatabase } from '../../../controller/history/thread/database.ts';
import { createCommitCore } from '../../../controller/history/write/commit.ts';
import { openFleetStore } from '../../../controller/store/fleet-store.ts';
import { copySqlite, openSqlite, openSqliteReadOnly, type Sqlite } from '../../../shared/sqlite.ts';
import { START_TS, windowPacket, wireWindow } from '../../support/history-records.ts';
import { temporaryFolder } from '../../support/temp.ts';

const NOW = START_TS + 60_000;
const NAME = '20231114T221420Z';

let template: Awaited<ReturnType<typeof temporaryFolder>>;
let folder: Awaited<ReturnType<typeof temporaryFolder>>;
let stateDir: string;
/** Of `stateDir`: one device, 100 windows, epoch 7. */
let backup: string;

beforeAll(async () => {
  template = await temporaryFolder();
  const { fleet, history } = openAtRest(template.path);
  addDevice(fleet, 'jetson-1');
  setEpoch(fleet, 7);
  createCommitCore(history).commit(packetsOf(seqsUpTo(100)), START_TS);
  await backUp(template.path, fleet, history, NOW);
  close({ fleet, history });
});

afterAll(() => template[Symbol.asyncDispose]());

beforeEach(async () => {
  folder = await temporaryFolder();
  stateDir = join(folder.path, 'state');
  backup = join(stateDir, 'backups', NAME);
  await cp(template.path, stateDir, { recursive: true });
});

afterEach(() => folder[Symbol.asyncDispose]());

/** Both databases without threads and broker. */
function openAtRest(dir: string): { readonly fleet: Sqlite; readonly history: Sqlite } {
  return { fleet: openFleetStore(dir).sqlite, history: openHistoryDatabase(dir) };
}

function close({ fleet, history }: ReturnType<typeof openAtRest>): void {
  history.close();
  fleet.close();
}

async function backUp(dir: string, fleet: Sqlite, history: Sqlite, now: number): Promise<string> {
  const copyHistory = async (path: string) => {
    await copySqlite(history, path);
    return { windows: 100 };
  };
  return (await backupState({ stateDir: dir, fleet, copyHistory, now })).path;
}

const open = (): Promise<History> =>
  openHistory({ stateDir, now: () => NOW, onFault: (error) => expect.unreachable(error.message) });

const seqsUpTo = (last: number, from = 1) =>
  Array.from({ length: last - from + 1 }, (_, index) => from + index);
const packetsOf = (seqs: readonly number[]) => seqs.map((seq) => windowPacket(wireWindow({ seq })));

const addDevice = (fleet: Sqlite, id: string) =>
  fleet.prepare('INSERT INTO devices (id, first_seen_ts, last_seen_ts) VALUES (?, 1, 1)').run(id);

const setEpoch = (fleet: Sqlite, epoch: number) =>
  fleet.prepare("INSERT OR REPLACE INTO meta VALUES ('epoch', ?)").run(String(epoch));

function query(path: string, sql: string): unknown {
  const sqlite = openSqliteReadOnly(path);
  const value = sqlite?.prepare(sql).pluck().get();
  sqlite?.close();
  return value;
}

test('a backup under load is whole, of one moment, and private', async () => {
  using fleet = openFleetStore(stateDir);
  await using history = await open();
  await history.commit(packetsOf(seqsUpTo(1_000, 101)), START_TS);
  let sent = 1_000;
  let isDone = false;
  const load = async () => {
    while (!isDone) {
      await history.commit(packetsOf(seqsUpTo(sent + 50, sent + 1)), START_TS);
      sent += 50;
      addDevice(fleet.sqlite, `device-${sent}`);
    }
  };
  const loading = load();
  const made = await backupState({
    stateDir,
    fleet: fleet.sqlite,
    copyHistory: history.backup,
    now: NOW + 1_000,
  });
  isDone = true;
  await loading;
  expect(sent).toBeGreaterThan(1_000);
  expect(made.path).toBe(join(stateDir, 'backups', '20231114T221421Z'));
  expect((await readdir(made.path)).sort()).toEqual(['backup.json', 'fleet.db', 'history.db']);
  for (const name of await readdir(made.path)) {
    expect((await stat(join(made.path, name))).mode & 0o777).toBe(0o600);
  }
  const manifest = await readBackup(made.path);
  expect(manifest).toMatchObject({
    format: 1,
    createdTs: NOW + 1_000,
    windows: made.windows,
    devices: made.devices,
  });
  const copy = join(made.path, 'history.db');
  expect(query(copy, 'SELECT count(*) FROM windows')).toBe(manifest.windows);
  expect(query(copy, 'SELECT to_seq FROM seen')).toBe(manifest.windows);
  expect(manifest.windows % 50).toBe(0);
});

test('two backups in one second do not mix, and a failed one leaves nothing', async () => {
  using fleet = openFleetStore(stateDir);
  const copyHistory = () => Promise.reject(new Error('the disk is full'));
  const sources = { stateDir, fleet: fleet.sqlite, copyHistory };
  await expect(backupState({ ...sources, now: NOW })).rejects.toMatchObject({ code: 'conflict' });
  await expect(backupState({ ...sources, now: NOW + 1_000 })).rejects.toThrow('the disk is full');
  expect(await readdir(join(stateDir, 'backups'))).toEqual([NAME]);
});

test('a restore brings back what was, in a new epoch, and keeps what it replaced', async () => {
  const rest = openAtRest(stateDir);
  setEpoch(rest.fleet, 2_000_000_009);
  addDevice(rest.fleet, 'jetson-2');
  createCommitCore(rest.history).commit(packetsOf([101]), START_TS);
  close(rest);
  await expect(restoreBackup({ from: backup, stateDir, force: false, now: NOW })).rejects.toMatchObject({
    code: 'conflict',
    message: expect.stringMatching(/there are databases already; --force replaces them/),
  });
  const result = await restoreBackup({ from: backup, stateDir, force: true, now: NOW });
  expect(result).toMatchObject({ epoch: 2_000_000_010, manifest: { windows: 100, devices: 1 } });
  expect(query(join(result.replaced ?? '', 'history.db'), 'SELECT count(*) FROM windows')).toBe(101);
  expect(query(join(result.replaced ?? '', 'fleet.db'), 'SELECT count(*) FROM devices')).toBe(2);
  expect((await readdir(stateDir)).filter((name) => name.startsWith('.'))).toEqual([]);
  using fleet = openFleetStore(stateDir);
  expect(fleet.meta.get('epoch')).toBe('2000000010');
  expect(fleet.devices.all().map(({ id }) => id)).toEqual(['jetson-1']);
  await using history = await open();
  expect(await history.integrity()).toEqual({ ok: true, problems: [] });
  expect(await history.commit(packetsOf([100, 101]), START_TS)).toMatchObject({ windows: 1, duplicates: 1 });
});

test('a restore into an empty folder needs no force; its epoch follows the backup and the clock', async () => {
  const empty = join(folder.path, 'other', 'state');
  const { epoch, replaced } = await restoreBackup({ from: backup, stateDir: empty, force: false, now: NOW });
  expect(epoch).toBe(Math.floor(NOW / 1_000) + 1);
  expect(replaced).toBeUndefined();
});

test('the epoch of a replaced folder of the version before counts too', async () => {
  const old = join(folder.path, 'old');
  await mkdir(old);
  const sqlite = openSqlite(join(old, 'history.db'), {
    migrations: ["CREATE TABLE meta (key TEXT, value TEXT); INSERT INTO meta VALUES ('epoch', '3000000000')"],
  });
  sqlite.close();
  const { epoch } = await restoreBackup({ from: backup, stateDir: old, force: true, now: NOW });
  expect(epoch).toBe(3_000_000_001);
});

test('while a controller has the folder, nothing is restored', async () => {
  const restore = () => restoreBackup({ from: backup, stateDir, force: true, now: NOW });
  const refusal = {
    code: 'conflict',
    message: expect.stringMatching(/a controller runs on it; stop it first/),
  };
  {
    using _fleet = openFleetStore(stateDir);
    await expect(restore()).rejects.toMatchObject(refusal);
  }
  {
    await using _history = await open();
    await expect(restore()).rejects.toMatchObject(refusal);
  }
  await expect(restore()).resolves.toMatchObject({ epoch: expect.any(Number) });
});

test('a damaged database may be replaced', async () => {
  await writeFile(join(stateDir, 'fleet.db'), 'not a database at all, not at all '.repeat(50));
  const { replaced } = await restoreBackup({ from: backup, stateDir, force: true, now: NOW });
  expect(await readFile(join(replaced ?? '', 'fleet.db'), 'utf8')).toMatch(/^not a database/);
});

test.each([
  ['without a manifest', { code: 'not-found' }, (from: string) => restoreOf(join(from, '..'))],
  [
    'cut short',
    { code: 'invalid', message: expect.stringMatching(/history\.db: \d+ bytes, but the manifest says \d+/) },
    async (from: string) => {
      await truncate(join(from, 'history.db'), 8_192);
      return restoreOf(from);
    },
  ],
  [
    'with a changed byte',
    { code: 'invalid', message: expect.stringMatching(/fleet\.db: is not what was written/) },
    async (from: string) => {
      const bytes = await readFile(join(from, 'fleet.db'));
      bytes.writeUInt8((bytes.at(-9) ?? 0) ^ 1, bytes.length - 9);
      await writeFile(join(from, 'fleet.db'), bytes);
      return restoreOf(from);
    },
  ],
  [
    'whose tables do not agree',
    {
      code: 'invalid',
      message: expect.stringMatching(/history\.db of the backup is damaged: 1 boots of no device/),
    },
    async (from: string) => {
      await disagree(from);
      return restoreOf(from);
    },
  ],
] as const)('a backup %s is refused, and what is there stays', async (_, refusal, restore) => {
  await expect(restore(backup)).rejects.toMatchObject(refusal);
  expect(query(join(stateDir, 'history.db'), 'SELECT count(*) FROM windows')).toBe(100);
  expect((await readdir(stateDir)).filter((name) => /^\.|replaced/.test(name))).toEqual([]);
});

const restoreOf = (from: string) => restoreBackup({ from, stateDir, force: true, now: NOW });

/** A backup that is what was written, of a history that was wrong. */
async function disagree(from: string): Promise<void> {
  const open = openAtRest(stateDir);
  expect(problemsOfHistory(open.history, true)).toEqual([]);
  open.history.exec('DELETE FROM series');
  expect(problemsOfHistory(open.history, true)).toEqual(['1 boots of no device']);
  const path = await backUp(stateDir, open.fleet, open.history, NOW + 1_000);
  close(open);
  await rm(from, { recursive: true });
  await rename(path, from);
}
