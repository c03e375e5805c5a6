import { spawnSync } from 'node:child_process';
import { chmod, readFile, stat } from 'node:fs/promises';
import { join } from 'node:path';
import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import { packageRoot } from '../../shared/package.ts';
import type { FakeApi } from './cli/fake-api.ts';
import type { Outcome } from './cli/run.ts';
import { STATE } from './cli/samples.ts';
import { createWorld, TOKEN, type World, words } from './cli/world.ts';

let world: World;
let api: FakeApi;

beforeEach(async () => {
  world = await createWorld();
  api = world.api;
});

afterEach(() => world[Symbol.asyncDispose]());

const fleet: World['fleet'] = (args, options) => world.fleet(args, options);

describe('logging in', () => {
  const loginFile = () => join(world.home, '.config/ofa-fleet/login.json');

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
  const expectWrongUsage = ({ status, out, err }: Outcome, message: string) => {
    expect({ status, out }).toEqual({ status: 2, out: '' });
    oneLine(err);
    expect(err).toContain(message);
    expect(api.seen).toEqual([]);
  };

  it.each([
    ['devices list --frobnicate', '--frobnicate'],
    ['frobnicate', 'frobnicate'],
    ['budget set', 'at least one of'],
    ['telemetry query', '--metric'],
    ['devices list -o xml', 'xml'],
  ])('%s is wrong usage', async (line, message) => {
    expectWrongUsage(await fleet(words(line)), message);
  });

  it.each([
    [
      'budget set --latency 2W',
      "--latency: '2W' is a power; a duration is written for example 2ms, 30s or 24h",
    ],
    ['budget set --latency 2ms -g a --device b', 'only one of'],
    ['budget clear speed', "'speed' is not one of latency"],
    ['telemetry query --metric speed', "--metric: 'speed' is not one of latencyMs"],
    ['telemetry query --metric level --since soon', '--since'],
    ['events --kind party', '--kind'],
    ['devices show ../status', 'is not an id'],
    ['devices config set jetson-1 window=30s --device jetson-2', 'not both'],
    ['groups set lab', 'either --selector or --members'],
  ])('%s is wrong usage, as the command finds', async (line, message) => {
    expectWrongUsage(await world.here(words(line)), message);
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

  it('is 1 when the output cannot be written, and 0 when nobody reads it to the end', async () => {
    const program = join(packageRoot(), 'controller/main.ts');
    const shell = (line: string) =>
      spawnSync('sh', ['-c', line, process.execPath, program], { encoding: 'utf8' });
    expect(shell('"$0" "$1" --help >/dev/full')).toMatchObject({
      status: 1,
      stderr: expect.stringMatching(/^ofa-fleet: standard output \(ENOSPC[^\n]+\n$/),
    });
    expect(shell('{ "$0" "$1" --help; echo $? >&2; } | true')).toMatchObject({ stderr: '0\n' });
  });
});
