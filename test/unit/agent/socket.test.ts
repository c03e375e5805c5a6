import { mkdir, stat, writeFile } from 'node:fs/promises';
import { connect, createServer } from 'node:net';
import { join } from 'node:path';
import { describe, expect, test } from 'vitest';
import { type ControlHandlers, explainHandlers } from '../../../agent/control/handlers.ts';
import { serveControl } from '../../../agent/control/socket.ts';
import { createExplainRing } from '../../../agent/explain/ring.ts';
import { askControl, askStatus } from '../../../shared/control/client.ts';
import { AppError } from '../../../shared/errors.ts';
import { START_TS, stateFolder } from '../../support/agent.ts';
import { manualClock } from '../../support/clock.ts';
import { switchAt } from '../../support/decisions.ts';

function handlersWith(change: Partial<ControlHandlers> = {}): ControlHandlers {
  const ring = createExplainRing();
  ring.decision(switchAt(START_TS));
  for (const level of [0, 1]) {
    const measured = { latencyMs: 12.5, budgetMs: level === 0 ? undefined : 20, missed: false };
    ring.inference({ ts: START_TS + level, monoMs: level, pe: 'cpu', level, ...measured });
  }
  return {
    status: () => ({ running: true }),
    ...explainHandlers({ ring, clock: manualClock(START_TS + 60_000) }),
    profile: ({ action }) => ({ lines: [action], data: { action } }),
    ...change,
  };
}

test('who asks gets the whole answer, however long', async () => {
  await using folder = await stateFolder();
  const status = { running: true, text: 'é'.repeat(300_000) };
  await using _server = await serveControl(folder.path, handlersWith({ status: () => status }));
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
  await (await serveControl(folder.path, handlersWith({ status: () => 1 })))[Symbol.asyncDispose]();
  expect(await askStatus(folder.path, 5_000)).toBeUndefined();
});

test('what a killed agent left behind is replaced', async () => {
  await using folder = await stateFolder();
  await writeFile(join(folder.path, 'agent.sock'), '');
  expect(await askStatus(folder.path, 5_000)).toBeUndefined();
  await using _server = await serveControl(folder.path, handlersWith({ status: () => 'new' }));
  expect(await askStatus(folder.path, 5_000)).toBe('new');
});

test('a folder whose path is too long for a socket is answered for elsewhere', async () => {
  await using folder = await stateFolder();
  const deep = join(folder.path, 'x'.repeat(120));
  const other = join(folder.path, 'y'.repeat(120));
  await mkdir(deep);
  await using _server = await serveControl(deep, handlersWith({ status: () => 'deep' }));
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
  const server = await serveControl(folder.path, handlersWith({ status: () => 'x' }));
  const lingering = connect({ path: join(folder.path, 'agent.sock'), allowHalfOpen: true });
  lingering.write('{"v":1,"kind":"status"}\n');
  await new Promise((resolve) => lingering.once('data', resolve));
  const silent = connect(join(folder.path, 'agent.sock')).on('error', () => undefined);
  await new Promise((resolve) => silent.once('connect', resolve));
  await server[Symbol.asyncDispose]();
  lingering.destroy();
  silent.destroy();
});

/** What the agent answers to some bytes, on a connection of its own. */
async function rawAnswer(folder: string, bytes: string, close = false): Promise<string> {
  const socket = connect({ path: join(folder, 'agent.sock'), allowHalfOpen: true });
  socket.write(bytes);
  if (close) socket.end();
  let text = '';
  for await (const chunk of socket.setEncoding('utf8')) text += String(chunk);
  return text;
}

describe('requests', () => {
  test('are answered each by its handler, with what was asked', async () => {
    await using folder = await stateFolder();
    await using _server = await serveControl(folder.path, handlersWith());
    expect(await askStatus(folder.path, 5_000)).toEqual({ running: true });
    expect(await askControl(folder.path, { kind: 'explain', at: START_TS + 500 }, 5_000)).toMatchObject({
      lines: expect.arrayContaining([expect.stringContaining('switch cpu/2 -> cpu/1')]),
      explanation: { at: START_TS + 500, decisions: [{ cause: 'latency-binds' }] },
    });
    const first = { ts: START_TS, monoMs: 0, pe: 'cpu', level: 0, latencyMs: 12.5, missed: false };
    const second = { ...first, ts: START_TS + 1, monoMs: 1, level: 1, budgetMs: 20 };
    // The third is of a point that the profile no longer has.
    expect(await askControl(folder.path, { kind: 'inferences' }, 5_000)).toEqual({
      inferences: [first, second],
    });
    expect(await askControl(folder.path, { kind: 'inferences', since: START_TS + 1 }, 5_000)).toEqual({
      inferences: [second],
    });
    expect(await askControl(folder.path, { kind: 'profile', action: 'measure' }, 5_000)).toMatchObject({
      data: { action: 'measure' },
    });
  });

  test('may be answered later, and by those who have closed their side', async () => {
    await using folder = await stateFolder();
    const profile = Promise.withResolvers<{ lines: string[]; data: Record<string, unknown> }>();
    const handlers = handlersWith({ profile: () => profile.promise });
    await using _server = await serveControl(folder.path, handlers);
    const answer = rawAnswer(folder.path, '{"v":1,"kind":"profile","action":"show"}\n', true);
    expect(await askStatus(folder.path, 5_000)).toEqual({ running: true });
    profile.resolve({ lines: ['later'], data: {} });
    expect(await answer).toContain('later');
  });

  test.each([
    ['no JSON', 'status\n', 'not JSON'],
    ['another version', '{"v":2,"kind":"status"}\n', 'another version'],
    ['no version', '{"kind":"status"}\n', 'another version'],
    ['an unknown kind', '{"v":1,"kind":"reboot"}\n', 'request'],
    ['a limit beyond all', '{"v":1,"kind":"explain","limit":100000}\n', 'request'],
    ['a time that is none', '{"v":1,"kind":"explain","at":-1}\n', 'request'],
    ['a flood without an end', 'x'.repeat(100_000), 'too long'],
  ])('%s: refused with the reason', async (_, bytes, message) => {
    await using folder = await stateFolder();
    await using _server = await serveControl(folder.path, handlersWith());
    const { error } = JSON.parse(await rawAnswer(folder.path, bytes));
    expect(error).toEqual({ code: 'invalid', message: expect.stringContaining(message) });
  });

  test('that fail are told with their code, and the agent goes on', async () => {
    await using folder = await stateFolder();
    const profile = (): never => {
      throw new AppError('conflict', 'it is being measured already');
    };
    await using _server = await serveControl(folder.path, handlersWith({ profile }));
    const asked = askControl(folder.path, { kind: 'profile', action: 'measure' }, 5_000);
    await expect(asked).rejects.toMatchObject({ code: 'conflict', message: 'it is being measured already' });
    expect(await askStatus(folder.path, 5_000)).toEqual({ running: true });
  });

  test('are given up on where what answers is no agent of ours', async () => {
    await using folder = await stateFolder();
    const stranger = createServer((socket) => socket.end('hello'));
    await new Promise<void>((resolve) => stranger.listen(join(folder.path, 'agent.sock'), resolve));
    await expect(askStatus(folder.path, 5_000)).rejects.toMatchObject({ code: 'invalid' });
    stranger.close();
  });
});
