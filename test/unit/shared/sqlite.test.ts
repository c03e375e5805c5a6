import { execFile } from 'node:child_process';
import { mkdtemp, open, readdir, rm, stat, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { promisify } from 'node:util';
import { afterEach, beforeEach, expect, test } from 'vitest';
import {
  copySqlite,
  holdSqlite,
  isFull,
  openSqlite,
  openSqliteReadOnly,
  problemsOfSqlite,
} from '../../../shared/sqlite.ts';

const MIGRATIONS = ['CREATE TABLE a (x INTEGER)', 'ALTER TABLE a ADD COLUMN y TEXT'];

let folder: string;
let path: string;

beforeEach(async () => {
  folder = await mkdtemp(join(tmpdir(), 'ofa-sqlite-'));
  path = join(folder, 'state.db');
});

afterEach(async () => {
  await rm(folder, { recursive: true, force: true });
});

/** Opens the database in another process, as `program` says, and gives back what that printed. */
async function inOtherProcess(program: string): Promise<string> {
  const url = new URL('../../../shared/sqlite.ts', import.meta.url).href;
  const text = `import { openSqlite } from '${url}'; const path = ${JSON.stringify(path)}; ${program}`;
  const { stdout } = await promisify(execFile)(process.execPath, ['--input-type=module', '-e', text]);
  return stdout.trim();
}

test('a database is made, filled, and found again', () => {
  const first = openSqlite(path, { migrations: MIGRATIONS });
  first.prepare('INSERT INTO a VALUES (?, ?)').run(1, 'one');
  first.close();
  const second = openSqlite(path, { migrations: MIGRATIONS });
  expect(second.prepare('SELECT * FROM a').all()).toEqual([{ x: 1, y: 'one' }]);
  expect(second.pragma('journal_mode', { simple: true })).toBe('wal');
  second.close();
});

test('only the steps that are missing are taken', () => {
  openSqlite(path, { migrations: MIGRATIONS.slice(0, 1) }).close();
  const database = openSqlite(path, { migrations: MIGRATIONS });
  expect(database.pragma('user_version', { simple: true })).toBe(2);
  expect(database.prepare('SELECT y FROM a').all()).toEqual([]);
  database.close();
});

test('a step that fails leaves the schema as it was', () => {
  openSqlite(path, { migrations: MIGRATIONS.slice(0, 1) }).close();
  const broken = [...MIGRATIONS, 'CREATE TABLE broken'];
  expect(() => openSqlite(path, { migrations: broken })).toThrow(expect.objectContaining({ code: 'system' }));
  const database = openSqlite(path, { migrations: MIGRATIONS.slice(0, 1) });
  expect(database.pragma('user_version', { simple: true })).toBe(1);
  database.close();
});

test('a database of a newer version is refused, and says so', () => {
  openSqlite(path, { migrations: MIGRATIONS }).close();
  const open = () => openSqlite(path, { migrations: MIGRATIONS.slice(0, 1) });
  expect(open).toThrow(expect.objectContaining({ code: 'config' }));
  expect(open).toThrow(/state\.db: written by a newer version of ofa-fleet \(schema 2\); upgrade first/);
});

test('a file that is no database is refused, and left alone', async () => {
  await writeFile(path, 'this is not a database, and it is longer than a header is '.repeat(20));
  const open = () => openSqlite(path, { migrations: MIGRATIONS });
  expect(open).toThrow(expect.objectContaining({ code: 'config' }));
  expect(open).toThrow(/not a database; move it away/);
});

test('a folder that is not there is an error of the system', () => {
  const open = () => openSqlite(join(folder, 'none/state.db'), { migrations: MIGRATIONS });
  expect(open).toThrow(expect.objectContaining({ code: 'system' }));
});

test('a database that one process has for itself is refused to another at once', async () => {
  const database = openSqlite(path, { migrations: MIGRATIONS, exclusive: true });
  const printed = await inOtherProcess(`
    try { openSqlite(path, { migrations: [], exclusive: true }); } catch (error) { console.log(error.code, error.message); }
  `);
  expect(printed).toMatch(/^conflict .*state\.db: another process has it open; stop that one first$/);
  database.close();
});

test('what a killed process had committed is there', async () => {
  const killed = inOtherProcess(`
    const database = openSqlite(path, { migrations: ${JSON.stringify(MIGRATIONS)}, exclusive: true });
    database.prepare('INSERT INTO a VALUES (1, ?)').run('kept');
    process.kill(process.pid, 'SIGKILL');
  `);
  await expect(killed).rejects.toMatchObject({ signal: 'SIGKILL' });
  const database = openSqlite(path, { migrations: MIGRATIONS, exclusive: true });
  expect(database.prepare('SELECT y FROM a').all()).toEqual([{ y: 'kept' }]);
  database.close();
});

test('reading takes a database as it is, and changes nothing', () => {
  expect(openSqliteReadOnly(path)).toBeUndefined();
  openSqlite(path, { migrations: MIGRATIONS }).close();
  const database = openSqliteReadOnly(path);
  expect(database?.prepare('SELECT * FROM a').all()).toEqual([]);
  expect(() => database?.exec('DELETE FROM a')).toThrow(/readonly/);
  database?.close();
});

test('a full database is known by its error', () => {
  const database = openSqlite(path, { migrations: MIGRATIONS });
  database.pragma('max_page_count = 4');
  const fill = () => database.prepare('INSERT INTO a VALUES (1, ?)').run('x'.repeat(100_000));
  expect(fill).toThrow(expect.toSatisfy(isFull));
  expect(isFull(new Error('x'))).toBe(false);
  database.close();
});

test('a database of any version can be held, which shuts others out', async () => {
  expect(holdSqlite(path)).toBeUndefined();
  const user = openSqlite(path, { migrations: MIGRATIONS });
  expect(() => holdSqlite(path)).toThrow(expect.objectContaining({ code: 'conflict' }));
  user.close();
  const held = holdSqlite(path);
  const printed = await inOtherProcess(`
    try { openSqlite(path, { migrations: [], exclusive: true }); } catch (error) { console.log(error.code); }
  `);
  expect(printed).toBe('conflict');
  held?.close();
  await writeFile(path, 'not a database '.repeat(100));
  expect(() => holdSqlite(path)).toThrow(expect.objectContaining({ code: 'config' }));
});

test('a database is copied in use to one private file, with what its own connection writes meanwhile', async () => {
  const database = openSqlite(path, { migrations: MIGRATIONS });
  const insert = database.prepare('INSERT INTO a VALUES (?, ?)');
  database.transaction(() => {
    for (let x = 0; x < 2_000; x += 1) insert.run(x, 'y'.repeat(1_000));
  })();
  const target = join(folder, 'copy.db');
  const copying = copySqlite(database, target);
  insert.run(-1, 'meanwhile');
  await copying;
  database.close();
  expect((await readdir(folder)).filter((name) => name.startsWith('copy'))).toEqual(['copy.db']);
  expect((await stat(target)).mode & 0o777).toBe(0o600);
  const copy = openSqliteReadOnly(target);
  expect(copy?.prepare('SELECT count(*), min(x) FROM a').raw().get()).toEqual([2_001, -1]);
  copy?.close();
});

test('a copy that cannot be written is an error of the system', async () => {
  const database = openSqlite(path, { migrations: MIGRATIONS });
  await expect(copySqlite(database, join(folder, 'none/copy.db'))).rejects.toMatchObject({ code: 'system' });
  database.close();
});

test('damage in a database is found', async () => {
  const database = openSqlite(path, { migrations: [...MIGRATIONS, 'CREATE INDEX a_by_x ON a (x)'] });
  for (let x = 0; x < 100; x += 1) database.prepare('INSERT INTO a VALUES (?, ?)').run(x, 'y'.repeat(500));
  expect(problemsOfSqlite(database, false)).toEqual([]);
  expect(problemsOfSqlite(database, true)).toEqual([]);
  database.close();
  await using file = await open(path, 'r+');
  await file.write(Buffer.alloc(4_096, 0xff), 0, 4_096, 2 * 4_096);
  const broken = openSqliteReadOnly(path);
  expect(broken && problemsOfSqlite(broken, true)).not.toEqual([]);
  broken?.close();
});
