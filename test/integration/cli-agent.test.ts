import { execFile } from 'node:child_process';
import { join } from 'node:path';
import { expect, test } from 'vitest';
import { explainHandlers } from '../../agent/control/handlers.ts';
import { serveControl } from '../../agent/control/socket.ts';
import { createExplainRing } from '../../agent/explain/ring.ts';
import { packageRoot } from '../../shared/package.ts';
import { START_TS, stateFolder } from '../support/agent.ts';
import { manualClock } from '../support/clock.ts';
import { switchAt } from '../support/decisions.ts';

interface Ran {
  readonly status: number;
  readonly out: string;
  readonly err: string;
}

/** Runs the real program. */
function ofaAgent(...args: readonly string[]): Promise<Ran> {
  return new Promise((resolve) => {
    const program = join(packageRoot(), 'agent/main.ts');
    execFile(process.execPath, [program, ...args], { timeout: 30_000 }, (error, out, err) => {
      resolve({ status: Number(error?.code ?? 0), out, err });
    });
  });
}

/** What a running agent would answer, from a state folder. */
async function serveAgent(folder: string) {
  const ring = createExplainRing();
  ring.decision(switchAt(START_TS));
  ring.inference({
    ts: START_TS,
    monoMs: 5,
    pe: 'cpu',
    level: 1,
    latencyMs: 16.25,
    budgetMs: 20,
    missed: false,
  });
  const asked: string[] = [];
  const server = await serveControl(folder, {
    status: () => ({ running: true }),
    ...explainHandlers({ ring, clock: manualClock(START_TS + 60_000) }),
    profile: ({ action }) => {
      asked.push(action);
      return { lines: ['cpu/1  16ms'], data: { points: [1] } };
    },
  });
  return { asked, [Symbol.asyncDispose]: () => server[Symbol.asyncDispose]() };
}

test('ofa-agent explain and profile ask the agent that runs, and print its words or its data', async () => {
  await using folder = await stateFolder();
  await using agent = await serveAgent(folder.path);
  const state = ['--state', folder.path];
  const [told, json, inferences, profile] = await Promise.all([
    ofaAgent('explain', ...state, '--at', '2023-11-14T22:13:30Z'),
    ofaAgent('explain', ...state, '-o', 'json', '--limit', '1'),
    ofaAgent('explain', ...state, '--inferences', '-o', 'csv'),
    ofaAgent('profile', ...state, '--measure', '-o', 'json'),
  ]);
  expect(told).toMatchObject({ status: 0, err: '' });
  expect(told.out).toMatch(/^2023-11-14T22:13:20\.000Z {2}switch cpu\/2 -> cpu\/1\n {2}why: /);
  expect(JSON.parse(json.out)).toMatchObject({ oldestTs: START_TS, decisions: [{ cause: 'latency-binds' }] });
  expect(inferences.out).toBe(
    'time,mono-ms,point,latency,budget,missed\n2023-11-14T22:13:20.000Z,5,cpu/1,16.25,20,false\n',
  );
  expect(JSON.parse(profile.out)).toEqual({ points: [1] });
  expect(agent.asked).toEqual(['measure']);
});

test('ofa-agent explain says what is wrong where none runs, or the words are', async () => {
  await using folder = await stateFolder();
  const [none, mixed] = await Promise.all([
    ofaAgent('explain', '--state', folder.path),
    ofaAgent('explain', '--state', folder.path, '--inferences', '--at', '1m'),
  ]);
  expect(none).toMatchObject({ status: 3, out: '', err: expect.stringContaining('no agent runs there') });
  expect(mixed).toMatchObject({ status: 2, err: expect.stringContaining('--at is for decisions') });
});
