import { expect, test } from 'vitest';
import type { ControllerState, DeviceDetail, Group, Stated } from '../../../controller/api/schemas.ts';
import { topicOf } from '../../../shared/protocol/topics.ts';
import {
  connectDevice,
  eventually,
  FLEET,
  runController,
  type ScriptedDevice,
  type TestController,
  windowOf,
} from '../../support/controller.ts';
import { temporaryFolder } from '../../support/temp.ts';

/** A controller and devices that it knows. */
async function fleetOf(stateDir: string, ids: readonly string[]) {
  const controller = await runController(stateDir);
  await eventually(async () => {
    const { body } = await controller.ask('GET', '/v1/status');
    expect((body as ControllerState).mqtt.connected).toBe(true);
  });
  const devices: ScriptedDevice[] = [];
  for (const id of ids) {
    const device = await connectDevice({ url: controller.controller.mqttUrl, id });
    await device.status('online');
    await device.sendWindows(windowOf({ device: id }));
    await device.acknowledged(1);
    await eventually(() => expect(device.desired).toHaveLength(1));
    devices.push(device);
  }
  return {
    controller,
    devices,
    [Symbol.asyncDispose]: async () => {
      for (const device of devices) await device[Symbol.asyncDispose]();
      await controller[Symbol.asyncDispose]();
    },
  };
}

async function stated(controller: TestController, scope: Stated['scope'], set: object): Promise<Stated> {
  const { status, body } = await controller.ask('PATCH', '/v1/budgets', { scope, set });
  expect({ status, body }).toMatchObject({ status: 200 });
  return body as Stated;
}

test('a budget for a selector follows the labels of devices', async () => {
  await using folder = await temporaryFolder();
  await using fleet = await fleetOf(folder.path, ['jetson-1', 'jetson-2']);
  const { controller } = fleet;
  const scope = { kind: 'selector', selector: 'site = lab', priority: 3 } as const;
  const none = await stated(controller, scope, { latencyMs: 20 });
  expect(none).toMatchObject({ devices: 0, scope: { selector: 'site=lab', priority: 3 } });
  await controller.ask('PATCH', '/v1/devices/jetson-1/labels', { set: { site: 'lab' } });
  await eventually(() =>
    expect(fleet.devices[0]?.desired.at(-1)?.groups).toMatchObject([
      { name: expect.stringMatching(/^sel-/), priority: 3 },
    ]),
  );
  expect(fleet.devices[1]?.desired).toHaveLength(1);
  const one = await stated(controller, scope, { latencyMs: 25 });
  expect(one.devices).toBe(1);
  expect(one.version.n).toBeGreaterThan(none.version.n);
  await controller.ask('PATCH', '/v1/devices/jetson-1/labels', { remove: ['site'] });
  await eventually(() => expect(fleet.devices[0]?.desired.at(-1)?.groups).toEqual([]));
  const versions = fleet.devices[0]?.desired.map(({ version }) => version.n) ?? [];
  expect(versions).toEqual([...versions].sort((a, b) => a - b));
});

test('a selector for which nothing is stated any more takes no place among the groups of a device', async () => {
  await using folder = await temporaryFolder();
  await using fleet = await fleetOf(folder.path, ['jetson-1']);
  const { controller, devices } = fleet;
  await controller.ask('PATCH', '/v1/devices/jetson-1/labels', { set: { site: 'lab' } });
  const scope = { kind: 'selector', selector: 'site=lab' } as const;
  const set = await stated(controller, scope, { latencyMs: 20 });
  await eventually(() => expect(devices[0]?.desired.at(-1)?.groups).toHaveLength(1));
  const cleared = await controller.ask('PATCH', '/v1/budgets', { scope, clear: ['latencyMs'] });
  expect(cleared.body).toMatchObject({ scope: { selector: 'site=lab' }, requirement: {}, devices: 1 });
  await eventually(() => expect(devices[0]?.desired.at(-1)?.groups).toEqual([]));
  const again = await stated(controller, scope, { latencyMs: 30 });
  expect(again.version.n).toBeGreaterThan(set.version.n);
  await eventually(() => expect(devices[0]?.desired.at(-1)?.groups).toHaveLength(1));
});

test('clearing the last field keeps a newer version with no fields', async () => {
  await using folder = await temporaryFolder();
  await using fleet = await fleetOf(folder.path, ['jetson-1']);
  const scope = { kind: 'device', device: 'jetson-1' } as const;
  const set = await stated(fleet.controller, scope, { latencyMs: 20 });
  expect(set.devices).toBe(1);
  await eventually(() => expect(fleet.devices[0]?.desired.at(-1)?.requirement).toEqual({ latencyMs: 20 }));
  const { body } = await fleet.controller.ask('PATCH', '/v1/budgets', { scope, clear: ['latencyMs'] });
  const cleared = body as Stated;
  expect(cleared.requirement).toEqual({});
  expect(cleared.version.n).toBeGreaterThan(set.version.n);
  await eventually(() =>
    expect(fleet.devices[0]?.desired.at(-1)).toMatchObject({ requirement: {}, groups: [] }),
  );
});

test('stating the same again changes no version', async () => {
  await using folder = await temporaryFolder();
  await using fleet = await fleetOf(folder.path, []);
  const first = await stated(fleet.controller, { kind: 'fleet' }, { latencyMs: 20 });
  const again = await stated(fleet.controller, { kind: 'fleet' }, { latencyMs: 20 });
  expect(again.version).toEqual(first.version);
});

test('a group names its members and leaves them when it is removed', async () => {
  await using folder = await temporaryFolder();
  await using fleet = await fleetOf(folder.path, ['jetson-1', 'jetson-2']);
  const { controller } = fleet;
  const put = await controller.ask('PUT', '/v1/groups/line-a', { members: ['jetson-2'], priority: 5 });
  expect(put.body as Group).toEqual({ name: 'line-a', priority: 5, devices: ['jetson-2'] });
  await eventually(() =>
    expect(fleet.devices[1]?.desired.at(-1)?.groups).toEqual([{ name: 'line-a', priority: 5 }]),
  );
  const listed = await controller.ask('GET', '/v1/devices?group=line-a');
  expect(listed.body).toMatchObject({ devices: [{ id: 'jetson-2', groups: ['line-a'] }] });
  await stated(controller, { kind: 'group', name: 'line-a' }, { latencyMs: 10 });
  expect((await controller.ask('DELETE', '/v1/groups/line-a')).status).toBe(204);
  await eventually(() => expect(fleet.devices[1]?.desired.at(-1)?.groups).toEqual([]));
  expect((await controller.ask('GET', '/v1/groups/line-a')).status).toBe(404);
  expect((await controller.ask('GET', '/v1/budgets')).body).toEqual({ stated: [] });
});

test('what is not known is not found', async () => {
  await using folder = await temporaryFolder();
  await using fleet = await fleetOf(folder.path, []);
  for (const scope of [
    { kind: 'device', device: 'nobody' },
    { kind: 'group', name: 'nobody' },
  ]) {
    const { status, body } = await fleet.controller.ask('PATCH', '/v1/budgets', {
      scope,
      set: { latencyMs: 1 },
    });
    expect({ status, body }).toMatchObject({ status: 404, body: { error: { code: 'not-found' } } });
  }
  expect((await fleet.controller.ask('GET', '/v1/devices/nobody')).status).toBe(404);
});

test('a command is answered, or times out with the name of the device', async () => {
  await using folder = await temporaryFolder();
  await using fleet = await fleetOf(folder.path, ['jetson-1']);
  const { controller } = fleet;
  const [device] = fleet.devices;
  const asked = controller.ask('POST', '/v1/devices/jetson-1/commands', { kind: 'ping' });
  await eventually(() => expect(device?.commands).toHaveLength(1));
  const id = device?.commands[0]?.id ?? '';
  const topic = topicOf('commandResult', { fleet: FLEET, device: 'jetson-1', id });
  await device?.publish(topic, JSON.stringify({ v: 1, state: 'done', ts: 1 }));
  expect(await asked).toMatchObject({ status: 200, body: { device: 'jetson-1', result: { state: 'done' } } });

  const silent = await controller.ask('POST', '/v1/devices/jetson-1/commands', {
    kind: 'ping',
    timeoutMs: 100,
  });
  expect(silent).toMatchObject({
    status: 504,
    body: { error: { code: 'timeout', message: expect.stringContaining('jetson-1') } },
  });
  await device?.status('offline');
  await eventually(async () => {
    const { body } = await controller.ask('GET', '/v1/devices/jetson-1');
    expect((body as DeviceDetail).online).toBe(false);
  });
  const offline = await controller.ask('POST', '/v1/devices/jetson-1/commands', { kind: 'ping' });
  expect(offline).toMatchObject({
    status: 504,
    body: { error: { message: expect.stringContaining('offline') } },
  });
});

test('what was stated and labelled survives a restart', async () => {
  await using folder = await temporaryFolder();
  let token = '';
  {
    await using fleet = await fleetOf(folder.path, ['jetson-1']);
    token = fleet.controller.token;
    await fleet.controller.ask('PATCH', '/v1/devices/jetson-1/labels', { set: { site: 'lab' } });
    await stated(fleet.controller, { kind: 'fleet' }, { latencyMs: 20, priority: 'accuracy' });
  }
  await using controller = await runController(folder.path, { token });
  expect((await controller.ask('GET', '/v1/budgets')).body).toMatchObject({
    stated: [{ scope: { kind: 'fleet' }, requirement: { latencyMs: 20, priority: 'accuracy' }, devices: 1 }],
  });
  expect((await controller.ask('GET', '/v1/devices?selector=site%3Dlab')).body).toMatchObject({
    devices: [{ id: 'jetson-1' }],
  });
});
