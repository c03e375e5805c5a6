import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import type { FakeApi, Seen } from './cli/fake-api.ts';
import { detailOf, deviceOf, statedOf } from './cli/samples.ts';
import { createWorld, type World, words } from './cli/world.ts';

let world: World;
let api: FakeApi;

beforeEach(async () => {
  world = await createWorld();
  api = world.api;
});

afterEach(() => world[Symbol.asyncDispose]());

const fleet = (args: readonly string[]) => world.here(args);

describe('commands', () => {
  it('list devices as a table without escape codes, as JSON and as CSV', async () => {
    const devices = [deviceOf('jetson-1'), deviceOf('jetson-2')];
    api.script = { 'GET /v1/devices': { body: { devices } } };
    const table = await world.fleet(words('devices list -l site=lab'));
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
    expect((await fleet(words('devices show jetson-1'))).out).toMatch(
      /latencyMs +2ms \(from group cameras\)/,
    );
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
    expect(set.out).toMatch(/^SCOPE .*DEVICES\nfleet +2ms +2%( +-){6} +3\n$/);
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
      timeZone: 'UTC',
      ...{ resolutionMs: 0, devices: 1, redated: 0, late: 0, lost: 0 },
    };
    const body = { ...answer, series: [{ key: '2', points }] };
    const events = [
      { device: 'jetson-1', ts, kind: 'fault', body: { kind: 'fault', what: 'camera', reason: 'gone' } },
    ];
    api.script = { 'GET /v1/telemetry/query': { body }, 'GET /v1/events': { body: { events } } };
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
        timeZone: 'UTC',
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
    const { status, out } = await world.fleet(words('config print --api-port 0'), { env });
    expect(status).toBe(0);
    expect(out).not.toContain('hunter2');
    expect(JSON.parse(out)).toMatchObject({ api: { port: 0 } });
  });
});
