import { cp, mkdtemp, readdir, readFile, rm, unlink, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterEach, beforeEach, expect, test } from 'vitest';
import { activateFamily, type FamilyStoreDeps } from '../../../agent/store/family-store.ts';
import { AppError } from '../../../shared/errors.ts';
import { MANIFEST_FILE, modelPath, readFamily } from '../../../shared/family/read.ts';
import type { Sqlite } from '../../../shared/sqlite.ts';
import { type StateFolder, stateFolder } from '../../support/agent.ts';
import { bundledFamily } from '../../support/bundled.ts';

let folder: StateFolder;
let database: Sqlite;
let source: string;
let qualified: string[];

beforeEach(async () => {
  folder = await stateFolder();
  database = folder.open();
  source = await mkdtemp(join(tmpdir(), 'ofa-family-'));
  qualified = [];
  await cp((await bundledFamily()).folder, source, { recursive: true });
});

afterEach(async () => {
  await folder[Symbol.asyncDispose]();
  await rm(source, { recursive: true, force: true });
});

function activate(change: Partial<FamilyStoreDeps> = {}) {
  return activateFamily(source, {
    database,
    stateDir: folder.path,
    now: () => 1,
    qualifier: 'runtime 1',
    qualify: async ({ sha256 }) => {
      qualified.push(sha256);
      return true;
    },
    admit: () => undefined,
    ...change,
  });
}

/** Makes the source a family of another version, with the same models. */
async function raiseVersion(): Promise<void> {
  const path = join(source, MANIFEST_FILE);
  const manifest = JSON.parse(await readFile(path, 'utf8'));
  await writeFile(path, JSON.stringify({ ...manifest, version: manifest.version + 1 }));
}

async function firstModel(): Promise<string> {
  const { manifest } = await readFamily(source);
  const [level] = manifest.levels;
  if (level === undefined) throw new Error('a family without levels');
  return modelPath(source, level);
}

test('a family is copied, qualified where it will lie, and runs from there', async () => {
  const { family, refused } = await activate();
  expect(refused).toBeUndefined();
  expect(family.folder).toBe(join(folder.path, 'families', family.sha256));
  expect(qualified).toEqual([family.sha256]);
  expect(await readdir(join(folder.path, 'families'))).toEqual([family.sha256]);
});

test('a family is qualified once, and again for another qualifier', async () => {
  await activate();
  await activate();
  expect(qualified).toHaveLength(1);
  await activate({ qualifier: 'runtime 2' });
  expect(qualified).toHaveLength(2);
});

test('a newer family takes the place of the one before', async () => {
  const before = await activate();
  await raiseVersion();
  const after = await activate();
  expect(after.refused).toBeUndefined();
  expect(after.family.manifest.version).toBe(before.family.manifest.version + 1);
});

const BREAKS: [what: string, code: string, breakIt: () => Promise<void>][] = [
  ['whose folder is gone', 'not-found', () => rm(source, { recursive: true })],
  ['whose manifest is not JSON', 'invalid', () => writeFile(join(source, MANIFEST_FILE), '{"format": 1,')],
  [
    'whose manifest is not of the schema',
    'invalid',
    () => writeFile(join(source, MANIFEST_FILE), '{"format": 2}'),
  ],
  ['that lacks a model', 'invalid', async () => unlink(await firstModel())],
  [
    'whose model has another hash',
    'invalid',
    async () => {
      const path = await firstModel();
      const bytes = await readFile(path);
      bytes[bytes.length - 1] = (bytes.at(-1) ?? 0) ^ 1;
      await writeFile(path, bytes);
    },
  ],
  ['whose model was cut short', 'invalid', async () => writeFile(await firstModel(), 'short')],
];

test.each(BREAKS)('one %s is refused and the last good one is kept', async (_, code, breakIt) => {
  const good = await activate();
  await raiseVersion();
  await breakIt();
  const { family, refused } = await activate();
  expect(family.sha256).toBe(good.family.sha256);
  expect(refused).toMatchObject({ code });
  expect(refused?.message).toContain(source);
});

test('one that is unfit is refused, tried again at the next start, and the last good one is kept', async () => {
  const good = await activate();
  await raiseVersion();
  const qualify = async ({ sha256 }: { sha256: string }): Promise<boolean> => {
    qualified.push(sha256);
    throw new AppError('invalid', 'level 2: its process crashed with SIGSEGV');
  };
  for (const attempt of [2, 3]) {
    const { family, refused } = await activate({ qualify });
    expect(family.sha256).toBe(good.family.sha256);
    expect(refused?.message).toMatch(/level 2/);
    expect(qualified).toHaveLength(attempt);
  }
});

test('one of which only a part is fit runs, and is qualified again at the next start', async () => {
  const qualify = async ({ sha256 }: { sha256: string }): Promise<boolean> => {
    qualified.push(sha256);
    return false;
  };
  for (const attempt of [1, 2]) {
    const { refused } = await activate({ qualify });
    expect(refused).toBeUndefined();
    expect(qualified).toHaveLength(attempt);
  }
});

test('one that must not run any more is refused before it is qualified, and the last good one is kept', async () => {
  const good = await activate();
  await raiseVersion();
  const admit = ({ sha256 }: { sha256: string }): void => {
    if (sha256 !== good.family.sha256) throw new AppError('invalid', 'every level is quarantined');
  };
  const { family, refused } = await activate({ admit });
  expect(family.sha256).toBe(good.family.sha256);
  expect(refused?.message).toBe('every level is quarantined');
  expect(qualified).toHaveLength(1);
});

test('when the last good one must not run either, the reason is that of the one that was asked for', async () => {
  await activate();
  const admit = (): void => {
    throw new AppError('invalid', 'every level is quarantined');
  };
  await expect(activate({ admit })).rejects.toThrow('every level is quarantined');
});

test('a broken family without a good one before it is an error', async () => {
  await unlink(await firstModel());
  await expect(activate()).rejects.toMatchObject({ code: 'invalid' });
});

test('what happens to the source later changes nothing that runs', async () => {
  const { family } = await activate();
  await rm(source, { recursive: true });
  const kept = await readFamily(family.folder);
  expect(kept.sha256).toBe(family.sha256);
});

test('a copy in the store that has gone bad is made again', async () => {
  const { family } = await activate();
  const [level] = family.manifest.levels;
  if (level !== undefined) await writeFile(modelPath(family.folder, level), 'rotten');
  const again = await activate();
  expect(again.refused).toBeUndefined();
  await expect(readFamily(again.family.folder)).resolves.toMatchObject({ sha256: family.sha256 });
});

test('a good one that is gone as well leaves the reason why the new one was refused', async () => {
  const { family } = await activate();
  await rm(family.folder, { recursive: true });
  await unlink(await firstModel());
  await expect(activate()).rejects.toMatchObject({
    code: 'invalid',
    message: expect.stringContaining(source),
  });
});

test('the family before the one in force is kept as the way back, older ones make room', async () => {
  const first = (await activate()).family.sha256;
  await raiseVersion();
  const second = (await activate()).family.sha256;
  const families = join(folder.path, 'families');
  expect((await readdir(families)).toSorted()).toEqual([first, second].toSorted());
  await raiseVersion();
  const third = (await activate()).family.sha256;
  expect((await readdir(families)).toSorted()).toEqual([second, third].toSorted());
});
