import { cp, mkdir, readdir } from 'node:fs/promises';
import { join } from 'node:path';
import { expect, test } from 'vitest';
import { putAside, putBack, schemaOf } from '../../../agent/launch/database-aside.ts';
import { openSqlite, type Sqlite } from '../../../shared/sqlite.ts';
import { temporaryFolder } from '../../support/temp.ts';

const FIRST = 'CREATE TABLE t (x TEXT)';
const SECOND = 'CREATE TABLE u (x TEXT)';

function open(folder: string, migrations: readonly string[]): Sqlite {
  return openSqlite(join(folder, 'agent.db'), { migrations, exclusive: true });
}

/** What a program leaves that is killed while it has the database open: all of it in the log. */
async function killed(folder: string, to: string): Promise<void> {
  await mkdir(to);
  for (const name of await readdir(folder))
    if (name.startsWith('agent.db')) await cp(join(folder, name), join(to, name));
}

test('the schema is read where SQLite keeps it: in the file, or only in the log of a program that was killed', async () => {
  await using folder = await temporaryFolder();
  expect(await schemaOf(folder.path)).toBe(-1);
  open(folder.path, [FIRST]).close();
  expect(await schemaOf(folder.path)).toBe(1);
  const database = open(folder.path, [FIRST, SECOND]);
  const dead = join(folder.path, 'dead');
  await killed(folder.path, dead);
  database.close();
  expect(await readdir(dead)).toContain('agent.db-wal');
  expect(await schemaOf(dead)).toBe(2);
});

test('what was put aside comes back, with what was only in its log, and may come back twice', async () => {
  await using folder = await temporaryFolder();
  const database = open(folder.path, [FIRST]);
  database.exec("INSERT INTO t VALUES ('kept')");
  const state = join(folder.path, 'state');
  await killed(folder.path, state);
  database.close();
  await mkdir(join(state, 'programs'));
  expect(await putAside(state)).toBe(1);

  const newer = open(state, [FIRST, SECOND]);
  newer.exec("INSERT INTO u VALUES ('lost')");
  const dead = join(folder.path, 'dead');
  await killed(state, dead);
  newer.close();
  await cp(join(state, 'programs'), join(dead, 'programs'), { recursive: true });

  for (const at of [state, dead]) {
    await putBack(at);
    await putBack(at);
    const back = open(at, [FIRST]);
    expect(back.prepare('SELECT x FROM t').pluck().all()).toEqual(['kept']);
    back.close();
  }
});
