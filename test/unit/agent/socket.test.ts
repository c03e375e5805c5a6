import { mkdir, stat, writeFile } from 'node:fs/promises';
import { connect, createServer } from 'node:net';
import { join } from 'node:path';
import { expect, test } from 'vitest';
import { askStatus, serveStatus } from '../../../agent/control/socket.ts';
import { stateFolder } from '../../support/agent.ts';

test('who asks gets the whole answer, however long', async () => {
  await using folder = await stateFolder();
  const status = { running: true, text: 'é'.repeat(300_000) };
  await using _server = await serveStatus(folder.path, () => status);
  expect(await Promise.all([askStatus(folder.path, 5_000), askStatus(folder.path, 5_000)])).toEqual([
    status,
    status,
  ]);
  const { mode } = await stat(join(folder.path, 'agent.sock'));
  expect(mode & 0o777).toBe(0o600);
});

test('no one answers where no agent runs, runs no more, or was killed', async () => {
  await using folder = await stateFolder();
  expect(await askStatus(folder.path, 5_000)).toBeUndefined();
  await (await serveStatus(folder.path, () => 1))[Symbol.asyncDispose]();
  expect(await askStatus(folder.path, 5_000)).toBeUndefined();
});

test('what a killed agent left behind is replaced', async () => {
  await using folder = await stateFolder();
  await writeFile(join(folder.path, 'agent.sock'), '');
  expect(await askStatus(folder.path, 5_000)).toBeUndefined();
  await using _server = await serveStatus(folder.path, () => 'new');
  expect(await askStatus(folder.path, 5_000)).toBe('new');
});

test('a folder whose path is too long for a socket is answered for elsewhere', async () => {
  await using folder = await stateFolder();
  const deep = join(folder.path, 'x'.repeat(120));
  const other = join(folder.path, 'y'.repeat(120));
  await mkdir(deep);
  await using _server = await serveStatus(deep, () => 'deep');
  expect(await askStatus(deep, 5_000)).toBe('deep');
  expect(await askStatus(other, 5_000)).toBeUndefined();
});

test('an agent that hangs is given up on', async () => {
  await using folder = await stateFolder();
  const mute = createServer((socket) => socket.on('error', () => undefined).on('data', () => undefined));
  await new Promise<void>((resolve) => mute.listen(join(folder.path, 'agent.sock'), resolve));
  await expect(askStatus(folder.path, 50)).rejects.toMatchObject({ code: 'timeout' });
  mute.close();
});

test('who asked and stays connected does not hold up the end', async () => {
  await using folder = await stateFolder();
  const server = await serveStatus(folder.path, () => 'x');
  const lingering = connect({ path: join(folder.path, 'agent.sock'), allowHalfOpen: true });
  await new Promise((resolve) => lingering.once('data', resolve));
  await server[Symbol.asyncDispose]();
  lingering.destroy();
});
