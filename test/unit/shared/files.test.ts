import { mkdtemp, readdir, readFile, rm, stat, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterEach, beforeEach, expect, test } from 'vitest';
import { makeStateFolder, sha256, sha256OfFile, writeAtomic } from '../../../shared/files.ts';

let folder: string;

beforeEach(async () => {
  folder = await mkdtemp(join(tmpdir(), 'ofa-files-'));
});

afterEach(async () => {
  await rm(folder, { recursive: true, force: true });
});

test('the hash of a file is that of its bytes', async () => {
  const path = join(folder, 'a');
  const bytes = Buffer.alloc(300_000, 'abc');
  await writeFile(path, bytes);
  expect(await sha256OfFile(path)).toBe(sha256(bytes));
  expect(sha256('abc')).toBe('ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad');
});

test('a file is replaced whole, with its mode, and nothing is left beside it', async () => {
  const path = join(folder, 'state.json');
  await writeAtomic(path, 'a longer old content');
  await writeAtomic(path, 'new', 0o600);
  expect(await readFile(path, 'utf8')).toBe('new');
  expect((await stat(path)).mode & 0o777).toBe(0o600);
  expect(await readdir(folder)).toEqual(['state.json']);
});

test('two writes at once to one file leave one of the two contents, whole', async () => {
  const path = join(folder, 'state.json');
  const contents = ['a'.repeat(200_000), 'b'.repeat(100_000)];
  await Promise.all(contents.map((content) => writeAtomic(path, content)));
  expect(contents).toContain(await readFile(path, 'utf8'));
  expect(await readdir(folder)).toEqual(['state.json']);
});

test('a folder that is not there is an error, and makes no file', async () => {
  await expect(writeAtomic(join(folder, 'none/state.json'), 'x')).rejects.toMatchObject({ code: 'ENOENT' });
  expect(await readdir(folder)).toEqual([]);
});

test('where the place is taken by a folder, it stays and no temporary file is left', async () => {
  await expect(writeAtomic(folder, 'x')).rejects.toThrow();
  const parent = await readdir(join(folder, '..'));
  expect(parent.filter((name) => name.startsWith(`${folder.split('/').at(-1)}.`))).toEqual([]);
});

test('a state folder is made with the folders above it, and may be there already', async () => {
  const path = join(folder, 'a', 'b', 'c');
  makeStateFolder(path, 0o750);
  makeStateFolder(path, 0o750);
  expect((await stat(path)).isDirectory()).toBe(true);
});

test('a state folder that cannot be made is named in one line', async () => {
  const file = join(folder, 'file');
  await writeFile(file, '');
  for (const path of [file, join(file, 'below'), '/proc/nothing', '/proc/nothing/below']) {
    expect(() => makeStateFolder(path, 0o750)).toThrow(`state folder ${path}: it cannot be made`);
  }
});
