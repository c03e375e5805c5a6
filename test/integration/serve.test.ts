import { once } from 'node:events';
import { mkdtemp, readFile, rm, stat } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterEach, beforeEach, expect, it } from 'vitest';
import { runHere } from './cli/in-process.ts';
import { type Running, type RunOptions, runFleet, startFleet } from './cli/run.ts';

const ANY_PORT = ['--api-port', '0', '--broker-port', '0', '--log-level', 'warn'];
let home: string;
let started: Running[];

beforeEach(async () => {
  home = await mkdtemp(join(tmpdir(), 'ofa-serve-'));
  started = [];
});

afterEach(async () => {
  for (const { child } of started) child.kill('SIGKILL');
  await Promise.all(started.map(({ ended }) => ended));
  await rm(home, { recursive: true });
});

async function startService(args: readonly string[]) {
  const running = startFleet(args, { home, env: {} });
  started.push(running);
  const ended = running.ended.then(({ err }) => Promise.reject(new Error(`ended early: ${err}`)));
  const [ready] = await Promise.race([once(running.child, 'message'), ended]);
  const stop = async (signal: NodeJS.Signals) => {
    running.child.kill(signal);
    return running.ended;
  };
  return { ready, stop };
}

function fleet(line: string, options: Partial<RunOptions> = {}) {
  return runFleet(line.split(' '), { home, env: {}, ...options });
}

/** The same in this process, which is quicker, with the same home. */
function here(line: string) {
  return runHere(line.split(' '), { HOME: home });
}

it('serves until it is told to stop, and shows the token of a new state folder once', async () => {
  const state = ['--state', join(home, 'state')];
  const first = await startService(['serve', ...ANY_PORT, ...state]);
  expect(first.ready).toMatchObject({
    type: 'ready',
    apiUrl: expect.any(String),
    mqttUrl: expect.any(String),
  });
  const { status, out, err } = await first.stop('SIGTERM');
  expect({ status, err }).toEqual({ status: 0, err: '' });
  expect(out).toContain(`API    ${first.ready.apiUrl}\nMQTT   ${first.ready.mqttUrl}\n`);
  const token = /^TOKEN {2}(\S+)$/m.exec(out)?.[1];
  expect(token).toMatch(/^ofa_/);

  const second = await startService(['serve', ...ANY_PORT, ...state]);
  expect((await fleet(`login ${second.ready.apiUrl}`, { input: token ?? '' })).status).toBe(0);
  expect(await second.stop('SIGINT')).toMatchObject({ status: 0, out: expect.not.stringContaining('TOKEN') });
});

it('answers every command that a person logged in with the token file may give', async () => {
  const tokenFile = join(home, 'token');
  const { ready, stop } = await startService([
    ...['serve', ...ANY_PORT, '--state', join(home, 'state'), '--token-file', tokenFile],
  ]);
  expect((await stat(tokenFile)).mode & 0o777).toBe(0o600);
  const login = await fleet(`login ${ready.apiUrl}`, { input: await readFile(tokenFile, 'utf8') });
  expect(login.status).toBe(0);
  expect((await fleet('status')).out).toMatch(/^devices known +0$/m);
  expect((await here('devices list')).status).toBe(0);
  expect((await here('devices show jetson-1')).status).toBe(3);
  expect((await here('groups set lab --selector site=lab --priority 3')).out).toMatch(
    /^lab +3 +site=lab +0$/m,
  );
  expect((await here('budget set --latency 2ms -g lab')).out).toMatch(/^group lab +2ms .* 0$/m);
  expect((await here('budget show -o csv')).out).toContain('group lab,2,,,,,,,,0\n');
  expect((await here('budget clear -g lab')).status).toBe(0);
  expect((await here('devices config set window=30s')).out).toMatch(/^fleet +30s/m);
  expect((await here('devices config clear window')).status).toBe(0);
  expect((await here('telemetry query --metric latencyMs --bucket 10s --agg p95')).status).toBe(0);
  expect((await here('telemetry query --metric latencyMs --agg p1234')).status).toBe(2);
  expect((await here('events --since 1h')).status).toBe(0);
  expect((await here('groups delete lab')).status).toBe(0);
  expect((await here('groups delete lab')).status).toBe(3);
  const { out, err } = await stop('SIGTERM');
  expect(out + err).not.toContain('TOKEN');
});

it('runs a broker by itself', async () => {
  const { ready, stop } = await startService(['broker', '--broker-port', '0']);
  expect(ready).toMatchObject({
    type: 'ready',
    mqttUrl: expect.stringMatching(/^mqtt:\/\/127\.0\.0\.1:\d+$/),
  });
  expect(await stop('SIGTERM')).toMatchObject({ status: 0, out: `MQTT   ${ready.mqttUrl}\n` });
});

it('names the flag whose value is wrong', async () => {
  const { status, err } = await fleet('serve --api-port many');
  expect(status).toBe(2);
  expect(err).toMatch(/^ofa-fleet: --api-port: [^\n]+\n$/);
});
