import { spawn } from 'node:child_process';
import { chmod, mkdtemp, readFile, rm, stat } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { text } from 'node:stream/consumers';
import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import { packageRoot } from '../../shared/package.ts';
import { type FakeApi, type Seen, startFakeApi } from './cli/fake-api.ts';
import { detailOf, deviceOf, STATE, statedOf } from './cli/samples.ts';

const TOKEN = 'secret-token-1234567890';
let api: FakeApi;
let home: string;

beforeEach(async () => {
  api = await startFakeApi();
  home = await mkdtemp(join(tmpdir(), 'ofa-cli-'));
});

afterEach(async () => {
  expect(api.breaches).toEqual([]);
  await api[Symbol.asyncDispose]();
  await rm(home, { recursive: true });
});

interface Outcome {
  readonly status: number | null;
  readonly out: string;
  readonly err: string;
}

/** Runs the program as its user would; by default logged in by the environment. */
async function fleet(
  args: readonly string[],
  {
    env = { OFA_FLEET_URL: api.url, OFA_FLEET_TOKEN: TOKEN },
    input = '',
  }: { env?: NodeJS.ProcessEnv; input?: string } = {},
): Promise<Outcome> {
  const child = spawn(process.execPath, [join(packageRoot(), 'controller/main.ts'), ...args], {
    env: { PATH: process.env['PATH'], HOME: home, ...env },
    stdio: ['pipe', 'pipe', 'pipe'],
  });
  child.stdin.end(input);
  const closed = new Promise<number | null>((resolve) => child.once('close', resolve));
  const [out, err, status] = await Promise.all([text(child.stdout), text(child.stderr), closed]);
  return { status, out, err };
}

function words(line: string): string[] {
  return line.split(' ');
}

describe('logging in', () => {
  const loginFile = () => join(home, '.config/ofa-fleet/login.json');

  it('keeps a token that the controller accepts in a file for this user only, and shows it nowhere', async () => {
    api.script = { 'GET /v1/status': { body: STATE } };
    const login = await fleet(['login', `${api.url}/`], { env: {}, input: `${TOKEN}\n` });
    expect(login).toMatchObject({ status: 0, out: '' });
    expect(login.err).toContain('fleet lab');
    expect(login.err).not.toContain(TOKEN);
    expect((await stat(loginFile())).mode & 0o777).toBe(0o600);
    expect(JSON.parse(await readFile(loginFile(), 'utf8'))).toEqual({ url: api.url, token: TOKEN });

    const status = await fleet(['status', '-o', 'json'], { env: {} });
    expect(JSON.parse(status.out)).toEqual(STATE);
    expect(api.seen.map(({ authorization }) => authorization)).toEqual([
      `Bearer ${TOKEN}`,
      `Bearer ${TOKEN}`,
    ]);

    expect(await fleet(['logout'], { env: {} })).toMatchObject({ status: 0, out: '' });
    const after = await fleet(['status'], { env: {} });
    expect(after.status).toBe(7);
    expect(after.err).toContain('not logged in');
  });

  it('keeps nothing when the controller refuses the token', async () => {
    api.script = {
      'GET /v1/status': { status: 401, body: { error: { code: 'unauthorized', message: 'no' } } },
    };
    const login = await fleet(['login', '--url', api.url], { env: {}, input: TOKEN });
    expect(login.status).toBe(7);
    expect(login.err).toMatch(/^ofa-fleet: the controller at .* does not accept the token/);
    await expect(stat(loginFile())).rejects.toThrow('ENOENT');
  });

  it('does not use a file that others may read', async () => {
    api.script = { 'GET /v1/status': { body: STATE } };
    await fleet(['login', api.url], { env: {}, input: TOKEN });
    await chmod(loginFile(), 0o644);
    const status = await fleet(['status'], { env: {} });
    expect(status.status).toBe(1);
    expect(status.err).toBe(
      `ofa-fleet: ${loginFile()} holds a token and others may read it; run: chmod 600 ${loginFile()}\n`,
    );
  });

  it('takes no token as an argument, and no address with a password', async () => {
    expect((await fleet(['login', api.url, '--token', TOKEN])).status).toBe(2);
    expect((await fleet(['login', 'http://u:p@localhost'])).err).toContain(
      'must not hold a name or password',
    );
    expect((await fleet(['login', api.url], { input: '' })).err).toContain('no token on standard input');
    expect(api.seen).toEqual([]);
  });

  it('wants address and token from the environment together', async () => {
    const half = await fleet(['status'], { env: { OFA_FLEET_TOKEN: TOKEN } });
    expect(half.status).toBe(7);
    expect(half.err).toContain('OFA_FLEET_URL is not');
  });
});

describe('exit status and error line', () => {
  const oneLine = (err: string) => expect(err).toMatch(/^ofa-fleet: [^\n]+\n$/);

  it.each([
    ['devices list --frobnicate', '--frobnicate'],
    ['frobnicate', 'frobnicate'],
    ['budget set', 'at least one of'],
    [
      'budget set --latency 2W',
      "--latency: '2W' is a power; a duration is written for example 2ms, 30s or 24h",
    ],
    ['budget set --latency 2ms -g a --device b', 'only one of'],
    ['budget clear speed', "'speed' is not one of latency"],
    ['telemetry query', '--metric'],
    ['telemetry query --metric speed', "--metric: 'speed' is not one of latencyMs"],
    ['telemetry query --metric level --since soon', '--since'],
    ['events --kind party', '--kind'],
    ['devices list -o xml', 'xml'],
    ['devices show ../status', 'is not an id'],
    ['devices config set jetson-1 window=30s --device jetson-2', 'not both'],
    ['groups set lab', 'either --selector or --members'],
  ])('%s is wrong usage', async (line, message) => {
    const { status, out, err } = await fleet(words(line));
    expect({ status, out }).toEqual({ status: 2, out: '' });
    oneLine(err);
    expect(err).toContain(message);
    expect(api.seen).toEqual([]);
  });

  it('is 3 for what does not exist, with the words of the controller', async () => {
    const message = "no device 'jetson-9'";
    api.script = {
      'GET /v1/devices/jetson-9': { status: 404, body: { error: { code: 'not-found', message } } },
    };
    expect(await fleet(words('devices show jetson-9'))).toEqual({
      status: 3,
      out: '',
      err: `ofa-fleet: ${message}\n`,
    });
  });

  it('is 2 for a value that only the controller finds wrong', async () => {
    const message = 'set/latencyMs must be <= 600000';
    api.script = { 'PATCH /v1/budgets': { status: 400, body: { error: { code: 'invalid', message } } } };
    expect(await fleet(words('budget set --latency 1s'))).toMatchObject({
      status: 2,
      err: `ofa-fleet: ${message}\n`,
    });
  });

  it('is 7 when nothing listens, with the address and what to do', async () => {
    const { url } = api;
    await api[Symbol.asyncDispose]();
    const { status, out, err } = await fleet(['status'], {
      env: { OFA_FLEET_URL: url, OFA_FLEET_TOKEN: TOKEN },
    });
    api = await startFakeApi();
    expect({ status, out }).toEqual({ status: 7, out: '' });
    oneLine(err);
    expect(err).toContain(url);
    expect(err).toContain('ECONNREFUSED');
    expect(err).toContain('check that it runs');
  });

  it('is 7 when something else answers there', async () => {
    api.script = { 'GET /v1/status': { body: undefined, raw: '<html>hello</html>' } };
    const { status, err } = await fleet(['status']);
    expect(status).toBe(7);
    expect(err).toContain("is not the controller's API");
  });

  it('is 5 when a device does not answer in time', async () => {
    const message = 'jetson-1 did not answer within 1 s';
    api.script = {
      'POST /v1/devices/jetson-1/commands': { status: 504, body: { error: { code: 'timeout', message } } },
    };
    expect((await fleet(words('devices ping jetson-1 --timeout 1s'))).status).toBe(5);
    expect(api.seen[0]?.body).toEqual({ kind: 'ping', timeoutMs: 1_000 });
  });

  it('is 0 for help and version, which are data', async () => {
    const help = await fleet(words('budget set --help'));
    expect(help).toMatchObject({ status: 0, err: '' });
    expect(help.out).toContain('$ ofa-fleet budget set --latency 2ms');
    expect(await fleet(['--version'])).toMatchObject({ status: 0, out: '0.1.0\n' });
  });

  it('shows where it happened only when asked', async () => {
    const env = { OFA_FLEET_URL: 'ftp://x', OFA_FLEET_TOKEN: TOKEN };
    oneLine((await fleet(['status'], { env })).err);
    expect((await fleet(['status'], { env: { ...env, OFA_DEBUG: '1' } })).err).toMatch(/\n {4}at /);
  });
});

describe('commands', () => {
  it('list devices as a table without escape codes, as JSON and as CSV', async () => {
    const devices = [deviceOf('jetson-1'), deviceOf('jetson-2')];
    api.script = { 'GET /v1/devices': { body: { devices } } };
    const table = await fleet(words('devices list -l site=lab'));
    expect(api.seen[0]?.query).toEqual({ selector: 'site=lab' });
    expect(table).toMatchObject({ status: 0, err: '' });
    expect(table.out).not.toContain('\u001b');
    expect(table.out.split('\n')[1]).toMatch(
      /^jetson-1 +online .* 1\.9ms +2ms +3 +93\.1% +cameras +site=lab$/,
    );
    expect(JSON.parse((await fleet(words('devices list -o json'))).out)).toEqual({ devices });
    const csv = (await fleet(words('devices list -o csv'))).out.split('\n');
    expect(csv[1]).toBe('jetson-1,online,2026-04-24T03:08:20.000Z,2,1.9,2,3,0.931,cameras,site=lab');
  });

  it('show a device and its labels', async () => {
    api.script = {
      'GET /v1/devices/jetson-1': { body: detailOf('jetson-1') },
      'PATCH /v1/devices/jetson-1/labels': { body: deviceOf('jetson-1') },
    };
    expect((await fleet(words('devices show jetson-1'))).out).toMatch(/latencyMs +2 \(from group cameras\)/);
    expect((await fleet(words('devices label jetson-1 site=lab old-'))).out).toContain('site=lab');
    expect(api.seen[1]?.body).toEqual({ set: { site: 'lab' }, remove: ['old'] });
  });

  it('set, show and clear budgets', async () => {
    const fleetScope = statedOf({ kind: 'fleet' });
    const ofDevice = statedOf({ kind: 'device', device: 'jetson-1' });
    api.script = {
      'PATCH /v1/budgets': { body: fleetScope },
      'GET /v1/budgets': { body: { stated: [fleetScope, ofDevice] } },
      'GET /v1/devices/jetson-1': { body: detailOf('jetson-1') },
    };
    const set = await fleet(words('budget set --latency 2ms --miss-share 2%'));
    expect(set.out).toMatch(/^SCOPE .*DEVICES\nfleet +2ms +2% +- +- +3\n$/);
    await fleet(words('budget clear latency -g cameras'));
    expect(api.seen.map(({ body }) => body)).toEqual([
      { scope: { kind: 'fleet' }, set: { latencyMs: 2, missShare: 0.02 } },
      { scope: { kind: 'group', name: 'cameras' }, clear: ['latencyMs'] },
    ]);
    expect((await fleet(words('budget show'))).out.split('\n')).toHaveLength(4);
    const device = await fleet(words('budget show --device jetson-1'));
    expect(device.out).toMatch(/^latency +2ms +group cameras +2ms$/m);
    expect(device.out).toMatch(/^priority +latency +fleet +-$/m);
  });

  it('set settings of several devices, and say which ones failed', async () => {
    api.script = {
      'PATCH /v1/settings': ({ body }: Seen) =>
        JSON.stringify(body).includes('jetson-9')
          ? { status: 404, body: { error: { code: 'not-found', message: 'no such device' } } }
          : { body: statedOf({ kind: 'device', device: 'jetson-1' }) },
    };
    const { status, out, err } = await fleet(words('devices config set jetson-1 jetson-9 window=30s'));
    expect(status).toBe(6);
    expect(out).toContain('device jetson-1');
    expect(err).toBe('jetson-9: no such device\nofa-fleet: failed for 1 of 2 devices\n');
    expect(api.seen[0]?.body).toEqual({
      scope: { kind: 'device', device: 'jetson-1' },
      set: { windowMs: 30_000 },
    });
  });

  it('query telemetry and events', async () => {
    const ts = 1_777_000_000_000;
    const points = [{ ts, value: 1.2345678, count: 300 }];
    const answer = {
      metric: 'latencyMs',
      unit: 'ms',
      aggregate: 'p95',
      since: ts,
      until: ts + 1,
      bucketMs: 60_000,
    };
    const body = { ...answer, series: [{ key: '2', points }] };
    const events = [
      { device: 'jetson-1', ts, kind: 'fault', body: { kind: 'fault', what: 'camera', reason: 'gone' } },
    ];
    api.script = { 'GET /v1/telemetry': { body }, 'GET /v1/events': { body: { events } } };
    const query =
      'telemetry query --metric latencyMs --since 2026-04-24 --bucket 1m --agg p95 --by level -o csv';
    expect((await fleet(words(query))).out).toBe(
      'time,level,value,count\n2026-04-24T03:06:40.000Z,2,1.2345678,300\n',
    );
    expect(api.seen[0]?.query).toEqual({
      ...{
        metric: 'latencyMs',
        since: Date.parse('2026-04-24'),
        bucketMs: 60_000,
        aggregate: 'p95',
        by: 'level',
      },
    });
    expect((await fleet(words('events -n 5 --kind fault'))).out).toContain('camera: gone');
    expect(api.seen[1]?.query).toEqual({ limit: 5, kind: 'fault' });
  });

  it('show the lines of a log, also ones that are no JSON', async () => {
    const line = JSON.stringify({
      level: 30,
      time: 1_777_000_000_000,
      pid: 1,
      name: 'x',
      msg: 'started',
      port: 1,
    });
    const result = { v: 1, state: 'done', ts: 1, lines: [line, '{"cut'] };
    api.script = {
      'POST /v1/devices/jetson-1/commands': {
        body: { id: '00000000-0000', device: 'jetson-1', roundTripMs: 3, result },
      },
    };
    const { out, status } = await fleet(words('devices logs jetson-1 -n 2'));
    expect(status).toBe(0);
    expect(out).toMatch(/^2026-04-24T03:06:40\.000Z +info +started +\{"port":1\}$/m);
    expect(out).toContain('{"cut');
  });

  it('manage groups', async () => {
    const group = { name: 'lab', priority: 10, selector: 'site=lab', devices: ['jetson-1'] };
    api.script = {
      'PUT /v1/groups/lab': { body: group },
      'GET /v1/groups': { body: { groups: [group] } },
      'DELETE /v1/groups/lab': { status: 204, body: undefined },
    };
    await fleet(words('groups set lab --selector site=lab --priority 10'));
    expect(api.seen[0]?.body).toEqual({ priority: 10, selector: 'site=lab' });
    expect((await fleet(words('groups list'))).out).toMatch(/^lab +10 +site=lab +1$/m);
    expect(await fleet(words('groups delete lab'))).toMatchObject({ status: 0, out: '' });
  });

  it('print the configuration with its secrets masked', async () => {
    const env = { OFA_FLEET_BROKER_PASSWORD: 'hunter2' };
    const { status, out } = await fleet(words('config print --api-port 0'), { env });
    expect(status).toBe(0);
    expect(out).not.toContain('hunter2');
    expect(JSON.parse(out)).toMatchObject({ api: { port: 0 } });
  });
});
