import { describe, expect, test } from 'vitest';
import { openDesiredStore } from '../../../agent/desired/documents.ts';
import { openInForce } from '../../../agent/desired/in-force.ts';
import { createResolver, type DesiredDocuments } from '../../../agent/desired/resolve.ts';
import type { Desired } from '../../../shared/protocol/desired.ts';
import { stateFolder } from '../../support/agent.ts';

const version = (n: number, epoch = 1) => ({ epoch, n });
const never = (error: unknown): never => {
  throw error;
};
const DEFAULTS = {
  requirement: { latencyMs: 1_000, priority: 'latency' },
  settings: { windowMs: 10_000, frameRate: 25, logLevel: 'info' },
} as const;

const resolve = (documents: Partial<DesiredDocuments>) =>
  createResolver()({ groups: new Map(), ...documents }, DEFAULTS);
const latency = (latencyMs: unknown, n = 1): Desired => ({ version: version(n), requirement: { latencyMs } });

describe('a field is taken', () => {
  const groups = new Map([
    ['alpha', latency(30)],
    ['beta', latency(40)],
    ['stranger', latency(1)],
  ]);
  const member = (name: string, priority: number) => ({ name, priority });

  test.each([
    ['from the configuration when no document states it', {}, 1_000, 'configuration'],
    ['from the fleet before the configuration', { fleet: latency(50) }, 50, 'fleet'],
    [
      'from the group of the higher priority before the fleet',
      {
        fleet: latency(50),
        groups,
        device: { version: version(1), groups: [member('alpha', 1), member('beta', 2)] },
      },
      40,
      'group beta',
    ],
    [
      'from the group whose name is first where priorities are equal',
      { groups, device: { version: version(1), groups: [member('beta', 1), member('alpha', 1)] } },
      30,
      'group alpha',
    ],
    [
      'from the device before everything',
      { fleet: latency(50), groups, device: { ...latency(20), groups: [member('alpha', 1)] } },
      20,
      'device',
    ],
    ['past a scope that states it wrongly', { fleet: latency(50), device: latency(-1) }, 50, 'fleet'],
  ])('%s', (_, documents, latencyMs, source) => {
    const resolved = resolve(documents);
    expect(resolved.requirement.latencyMs).toBe(latencyMs);
    expect(resolved.sources['latencyMs']).toBe(source);
    expect(resolved.requirement.priority).toBe('latency');
  });
});

test('each field is refused by itself, with its scope and the reason', () => {
  const resolved = resolve({
    fleet: {
      version: version(1),
      requirement: { latencyMs: 'fast', accuracyFloor: 0.7, speedX: 5 },
      settings: { windowMs: 1, frameRate: 10 },
    },
  });
  expect(resolved.requirement).toEqual({ latencyMs: 1_000, accuracyFloor: 0.7, priority: 'latency' });
  expect(resolved.settings).toEqual({ windowMs: 10_000, frameRate: 10, logLevel: 'info' });
  expect(resolved.refused.map(({ scope, field }) => [scope, field])).toEqual([
    ['fleet', 'latencyMs'],
    ['fleet', 'speedX'],
    ['fleet', 'windowMs'],
  ]);
  expect(resolved.refused[1]?.reason).toMatch(/does not know the field/);
});

test.each([
  ['powerW', null, 'powerW: null is not a number above 0 and at most 100000'],
  ['energyJ', -0.05, 'energyJ: -0.05 is not a number above 0'],
  ['tempC', 1e9, 'tempC: 1000000000 is not a number at least 0 and at most 150'],
  ['price', '0.02', 'price: 0.02 is not a number'],
  ['priority', 'latency,speed', "priority: 'speed' is not a limit"],
  ['priority', 'energy,energy', "priority: 'energy,energy' names energy twice"],
])('an impossible %s is refused in clear words and takes no other field along', (field, value, reason) => {
  const good = { powerW: 7, energyJ: 0.05, tempC: 80, price: 0.02, priority: 'energy' };
  const stated = JSON.parse(JSON.stringify({ ...good, [field]: value }));
  const resolved = resolve({ fleet: { version: version(1), requirement: stated } });
  const inForce = Object.entries({ ...DEFAULTS.requirement, ...good }).filter(([name]) => name !== field);
  expect(resolved.requirement).toMatchObject(Object.fromEntries(inForce));
  expect(resolved.refused).toEqual([{ scope: 'fleet', field, reason: expect.stringContaining(reason) }]);
});

test('what is refused stays a report that can be sent', () => {
  const fields = Object.fromEntries(
    Array.from({ length: 200 }, (_, index) => [`${'x'.repeat(5_000)}${index}`, 1]),
  );
  const { refused } = resolve({ fleet: { version: version(1), requirement: fields } });
  expect(refused).toHaveLength(64);
  expect(JSON.stringify(refused).length).toBeLessThan(64 * 1_024);
});

test.each(['__proto__', 'constructor', 'toString'])(
  'the field %s is a field like another that is unknown',
  (field) => {
    const requirement = JSON.parse(`{"${field}": {"latencyMs": 1}}`);
    const resolved = resolve({ fleet: { version: version(1), requirement } });
    expect(resolved.requirement).toEqual(DEFAULTS.requirement);
    expect(resolved.refused).toMatchObject([{ field }]);
  },
);

test('the versions that are answered are those of the documents that are followed', () => {
  const resolved = resolve({
    fleet: latency(50, 7),
    groups: new Map([
      ['alpha', latency(30, 3)],
      ['left', latency(30, 9)],
    ]),
    device: {
      version: version(4, 2),
      groups: [
        { name: 'alpha', priority: 1 },
        { name: 'unheard', priority: 1 },
      ],
    },
  });
  expect(resolved.applied).toEqual({
    fleet: version(7),
    device: version(4, 2),
    groups: { alpha: version(3) },
  });
});

describe('documents', () => {
  test.each([
    ['older', version(4), false],
    ['the same again', version(5), false],
    ['newer', version(6), true],
    ['of an older epoch, however high its number', version(99, 0), false],
    ['of a newer epoch, however low its number', version(0, 2), true],
  ])('one that is %s: taken %s', async (_, candidate, taken) => {
    await using folder = await stateFolder();
    const store = openDesiredStore(folder.open(), never);
    expect(store.acceptFleet({ version: version(5) })).toBe(true);
    store.acceptGroup('alpha', { version: version(5) });
    store.acceptDevice({ version: version(5), groups: [{ name: 'alpha', priority: 1 }] });
    expect(store.acceptFleet({ version: candidate })).toBe(taken);
    expect(store.acceptGroup('alpha', { version: candidate })).toBe(taken);
    expect(store.acceptDevice({ version: candidate })).toBe(taken);
    expect(store.current().fleet?.version).toEqual(taken ? candidate : version(5));
  });

  test('survive a restart, and their versions with them', async () => {
    await using folder = await stateFolder();
    const database = folder.open();
    const store = openDesiredStore(database, never);
    store.acceptFleet(latency(50));
    store.acceptDevice({ ...latency(20), groups: [{ name: 'alpha', priority: 1 }] });
    store.acceptGroup('alpha', latency(30));
    const before = store.current();
    database.close();
    const after = openDesiredStore(folder.open(), never);
    expect(after.current()).toEqual(before);
    expect(after.acceptFleet(latency(60))).toBe(false);
  });

  test('of a group are forgotten when the device leaves it', async () => {
    await using folder = await stateFolder();
    const database = folder.open();
    const store = openDesiredStore(database, never);
    store.acceptDevice({ version: version(1), groups: [{ name: 'alpha', priority: 1 }] });
    store.acceptGroup('alpha', latency(30, 9));
    store.acceptDevice({ version: version(2), groups: [] });
    expect(store.current().groups.size).toBe(0);
    database.close();
    expect(openDesiredStore(folder.open(), never).current().groups.size).toBe(0);
  });

  test('that were stored in a form that cannot be read count as absent', async () => {
    await using folder = await stateFolder();
    const database = folder.open();
    const insert = database.prepare('INSERT INTO documents VALUES (?, ?)');
    insert.run('fleet', '{"version": 1}');
    insert.run('device', 'not JSON');
    insert.run('group/alpha', JSON.stringify(latency(30)));
    const store = openDesiredStore(database, never);
    expect(store.current()).toEqual({ groups: new Map([['alpha', latency(30)]]) });
    expect(store.acceptFleet(latency(40, 0))).toBe(true);
  });

  test('are in force on a full disk too, and it is told that they are not kept', async () => {
    await using folder = await stateFolder();
    const database = folder.open();
    const unkept: unknown[] = [];
    const inForce = openInForce(database, DEFAULTS, (error) => unkept.push(error));
    database.pragma(`max_page_count = ${database.pragma('page_count', { simple: true })}`);
    const document = { ...latency(50), settings: { unknown: 'x'.repeat(100_000) } };
    expect(inForce.documents.acceptFleet(document)).toBe(true);
    inForce.refresh();
    expect(inForce.requirement().latencyMs).toBe(50);
    expect(unkept).toHaveLength(1);
  });
});

test('what is in force follows the documents when it is refreshed, and falls back when they say no more', async () => {
  await using folder = await stateFolder();
  const inForce = openInForce(folder.open(), DEFAULTS, never);
  expect(inForce.settings()).toEqual(DEFAULTS.settings);
  inForce.documents.acceptDevice({ ...latency(20), settings: { windowMs: 500 } });
  expect(inForce.requirement().latencyMs).toBe(1_000);
  inForce.refresh();
  expect(inForce.requirement().latencyMs).toBe(20);
  expect(inForce.settings()).toEqual({ ...DEFAULTS.settings, windowMs: 500 });
  inForce.documents.acceptDevice({ version: version(2) });
  inForce.refresh();
  expect(inForce.requirement()).toEqual(DEFAULTS.requirement);
  expect(inForce.resolved().applied.device).toEqual(version(2));
});
