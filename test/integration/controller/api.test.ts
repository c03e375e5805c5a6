import { readFile, stat } from 'node:fs/promises';
import { request } from 'node:http';
import { join } from 'node:path';
import { expect, test } from 'vitest';
import { startController } from '../../../controller/controller.ts';
import { systemClock } from '../../../shared/clock.ts';
import { configFor, runController, silentLog } from '../../support/controller.ts';
import { temporaryFolder } from '../../support/temp.ts';

test('nothing under /v1 is answered without the right token, and health is open', async () => {
  await using folder = await temporaryFolder();
  await using controller = await runController(folder.path);
  const { apiUrl } = controller.controller;
  const wrong = { authorization: 'Bearer ofa_wrong' };
  for (const headers of [{}, wrong]) {
    const response = await fetch(`${apiUrl}/v1/status`, { headers });
    expect(response.status).toBe(401);
    expect(await response.json()).toMatchObject({ error: { code: 'unauthorized' } });
  }
  expect((await fetch(`${apiUrl}/healthz`)).status).toBe(200);
  expect((await controller.ask('GET', '/v1/status')).status).toBe(200);
});

test('no way of writing an address leads past the token', async () => {
  await using folder = await temporaryFolder();
  await using controller = await runController(folder.path);
  const { hostname, port } = new URL(controller.controller.apiUrl);
  for (const path of ['/%761/status', '/v%31/status', 'http://other/v1/status', '/v1/nothing']) {
    // Written as it is: `fetch` would put the address in order first.
    const status = await new Promise((resolve, reject) => {
      const asked = request({ hostname, port, path }, (response) => {
        response.resume();
        resolve(response.statusCode);
      });
      asked.on('error', reject).end();
    });
    expect([path, status]).toEqual([path, 401]);
  }
});

test('who guesses tokens is slowed down', async () => {
  await using folder = await temporaryFolder();
  await using controller = await runController(folder.path);
  const { apiUrl } = controller.controller;
  const statuses = new Set<number>();
  for (let guess = 0; guess < 30; guess += 1) {
    statuses.add(
      (await fetch(`${apiUrl}/v1/status`, { headers: { authorization: `Bearer ${guess}` } })).status,
    );
  }
  expect([...statuses]).toEqual([401, 429]);
});

test('the token goes into a file that only its owner reads, when one is named', async () => {
  await using folder = await temporaryFolder();
  const tokenFile = join(folder.path, 'token');
  await using controller = await runController(join(folder.path, 'state'), { config: { tokenFile } });
  expect(controller.controller.token).toBeUndefined();
  expect((await stat(tokenFile)).mode & 0o777).toBe(0o600);
  const token = (await readFile(tokenFile, 'utf8')).trim();
  const headers = { authorization: `Bearer ${token}` };
  expect((await fetch(`${controller.controller.apiUrl}/v1/status`, { headers })).status).toBe(200);
});

test('a token file that cannot be written is named, and a later start makes the token', async () => {
  await using folder = await temporaryFolder();
  const state = join(folder.path, 'state');
  const tokenFile = join(folder.path, 'missing', 'token');
  const failed = startController(configFor(state, { tokenFile }), { clock: systemClock, log: silentLog });
  await expect(failed).rejects.toMatchObject({ code: 'config', message: expect.stringContaining(tokenFile) });
  await using controller = await runController(state);
  expect(controller.controller.token).toBeDefined();
});

test('a second controller on the same state folder is refused', async () => {
  await using folder = await temporaryFolder();
  await using _first = await runController(folder.path);
  const second = startController(configFor(folder.path), { clock: systemClock, log: silentLog });
  await expect(second).rejects.toMatchObject({ code: 'conflict' });
});

test('a port in use is named, and what had started is ended again', async () => {
  await using folder = await temporaryFolder();
  const first = await runController(join(folder.path, 'a'));
  const apiPort = Number(new URL(first.controller.apiUrl).port);
  const mqttPort = Number(new URL(first.controller.mqttUrl).port);
  const deps = { clock: systemClock, log: silentLog };
  const config = configFor(join(folder.path, 'b'));
  const api = { ...config, api: { ...config.api, port: apiPort } };
  await expect(startController(api, deps)).rejects.toThrow(`port ${apiPort} on 127.0.0.1 is already in use`);
  const broker = { ...config, broker: { ...config.broker, port: mqttPort } };
  await expect(startController(broker, deps)).rejects.toMatchObject({ code: 'conflict' });
  await first[Symbol.asyncDispose]();
  await using again = await runController(join(folder.path, 'b'), { config: { api: api.api } });
  expect(again.controller.apiUrl).toContain(String(apiPort));
});

test('the OpenAPI document lists every route', async () => {
  await using folder = await temporaryFolder();
  await using controller = await runController(folder.path);
  const document: unknown = await (await fetch(`${controller.controller.apiUrl}/openapi.json`)).json();
  expect(document).toMatchObject({ openapi: '3.1.0' });
  const { paths } = document as { paths: Record<string, object> };
  const listed = Object.entries(paths).map(
    ([path, methods]) => `${path} ${Object.keys(methods).sort().join(' ')}`,
  );
  expect(listed.sort()).toEqual([
    '/healthz get',
    '/openapi.json get',
    '/v1/alerts get',
    '/v1/blobs/{sha256} get head put',
    '/v1/budgets get patch',
    '/v1/devices get',
    '/v1/devices/{id} get',
    '/v1/devices/{id}/commands post',
    '/v1/devices/{id}/labels patch',
    '/v1/events get',
    '/v1/groups get',
    '/v1/groups/{name} delete get put',
    '/v1/history/backup post',
    '/v1/history/integrity get',
    '/v1/history/status get',
    '/v1/keyring get put',
    '/v1/releases get post',
    '/v1/releases/{kind}/{name}/{version} delete get',
    '/v1/rollouts get post',
    '/v1/rollouts/{id} get',
    '/v1/rollouts/{id}/abort post',
    '/v1/rollouts/{id}/pause post',
    '/v1/rollouts/{id}/resume post',
    '/v1/rollouts/{id}/undo post',
    '/v1/settings get patch',
    '/v1/status get',
    '/v1/telemetry/export get',
    '/v1/telemetry/gaps get',
    '/v1/telemetry/query get',
    '/v1/telemetry/tail get',
  ]);
});

test('requests that do not fit are refused in one readable line', async () => {
  await using folder = await temporaryFolder();
  await using controller = await runController(folder.path);
  const scope = { kind: 'fleet' };
  const cases: [method: string, path: string, body: unknown, message: RegExp][] = [
    [
      'PATCH',
      '/v1/budgets',
      { scope, set: { latencyMs: 'fast' } },
      /body: set\.latencyMs: fast is not a number above 0/,
    ],
    ['PATCH', '/v1/budgets', { scope, set: { latencyMs: 5, powerW: -1 } }, /body: set\.powerW: -1 is not/],
    ['PATCH', '/v1/budgets', { scope, set: { tempC: null } }, /body: set\.tempC: null is not a number/],
    ['PATCH', '/v1/budgets', { scope, set: { priority: 'speed' } }, /set\.priority: 'speed' is not a limit/],
    ['PATCH', '/v1/budgets', { scope, set: { priority: 'energy,energy' } }, /names energy twice/],
    ['PATCH', '/v1/budgets', { scope, clear: ['speed'] }, /body: clear\.0/],
    ['PATCH', '/v1/budgets', { scope, set: { latency: 5 } }, /additional properties: latency/],
    ['PATCH', '/v1/budgets', { scope }, /nothing to set/],
    [
      'PATCH',
      '/v1/budgets',
      { scope: { kind: 'selector', selector: 'a=b', priority: 1e300 }, set: { latencyMs: 1 } },
      /body: scope/,
    ],
    ['PATCH', '/v1/budgets', { scope, set: { latencyMs: 1 }, clear: ['latencyMs'] }, /both set and cleared/],
    ['GET', '/v1/telemetry/query?metric=speed&since=0', undefined, /query: metric/],
    ['GET', '/v1/telemetry/query?metric=level&since=soon', undefined, /query: since/],
    ['GET', '/v1/devices?selector=,', undefined, /not a term/],
  ];
  for (const [method, path, body, message] of cases) {
    const answer = await controller.ask(method, path, body);
    expect(answer).toMatchObject({
      status: 400,
      body: { error: { code: 'usage', message: expect.stringMatching(message) } },
    });
  }
  expect((await controller.ask('GET', '/v1/nothing')).status).toBe(404);
});
