import { expect, test } from 'vitest';
import type { RolloutStart } from '../../../controller/api/rollout-schemas.ts';
import {
  RolloutDetailSchema,
  RolloutListSchema,
  RolloutStartSchema,
} from '../../../controller/api/rollout-schemas.ts';
import { createDesired } from '../../../controller/desired/desired.ts';
import type { TelemetryQuestion } from '../../../controller/history/read/query.ts';
import { createGroups } from '../../../controller/registry/groups.ts';
import { createRollouts, type Rollouts } from '../../../controller/rollouts/rollouts.ts';
import type { StoredDevice } from '../../../controller/store/device-store.ts';
import { openFleetStore } from '../../../controller/store/fleet-store.ts';
import { createRolloutStore } from '../../../controller/store/rollout-store.ts';
import { AppError } from '../../../shared/errors.ts';
import type { InstallReport, Order } from '../../../shared/protocol/release.ts';
import type { Reported } from '../../../shared/protocol/reported.ts';
import type { ReleaseManifest } from '../../../shared/release/manifest.ts';
import { parserOf } from '../../../shared/schema.ts';
import { manualClock } from '../../support/clock.ts';
import { silentLog } from '../../support/controller.ts';
import { temporaryFolder } from '../../support/temp.ts';
import { documentOf } from '../../unit/controller/rollout-world.ts';

const FAMILY = 'fa'.repeat(32);
const NAME = 'fashion-mnist';

function manifestOf(version: number): ReleaseManifest {
  return {
    ...({ format: 1, document: 'release', kind: 'family', name: NAME, version, form: 'full' } as const),
    createdTs: 1,
    expiresTs: version === 9 ? 2 : 9e15,
    blobs: [
      { role: 'family', sha256: FAMILY, bytes: 10, chunks: [FAMILY] },
      { role: 'model', sha256: 'cc'.repeat(32), bytes: 10, chunks: ['cc'.repeat(32)] },
    ],
  };
}

function releaseOf(version: number) {
  const signature = { keyId: '0123456789abcdef', value: `${'A'.repeat(86)}==` };
  const ref = { name: NAME, version, manifest: { sha256: 'ab'.repeat(32), bytes: 4_000 }, signature };
  return { kind: 'family', ref, manifest: manifestOf(version) } as const;
}

function reportedOf(family: string, install?: InstallReport): Reported {
  return {
    ...({ v: 1, bootId: '01234567', policy: 'p' } as const),
    software: { agent: '0', node: '24', onnxruntime: '1' },
    hardware: { model: 'm', arch: 'arm64', cpus: 4, memoryBytes: 8e9 },
    family: { name: NAME, version: 1, sha256: family },
    operatingPoints: [{ pe: 'cpu', level: 0, accuracy: 0.9, latencyMs: 4 }],
    applied: { groups: {} },
    ...{ requirement: {}, settings: {}, sources: {}, refused: [], rejected: {} },
    ...(install && { install: { family: install } }),
  };
}

/** A controller's own parts around the rollouts, with a real `fleet.db`; devices and the history are the test's. */
async function lab(folder: string, { count = 3, answer = 0 }: { count?: number; answer?: number } = {}) {
  const store = openFleetStore(folder);
  const clock = manualClock();
  const presence = { online: true, session: 's', bootIds: [], sinceTs: 0 };
  const known = new Map<string, StoredDevice>();
  for (let n = 1; n <= count; n += 1) {
    known.set(`d${n}`, { id: `d${n}`, firstSeenTs: 1, lastSeenTs: 1, presence, labels: { site: 'lab' } });
  }
  const reports = new Map<string, Reported>();
  const devices = {
    all: () => known.values(),
    get: (id: string) => known.get(id),
    reported: (id: string) => reports.get(id),
    require: (id: string) => {
      const device = known.get(id);
      if (device === undefined) throw new AppError('not-found', `device '${id}' is not known`);
      return device;
    },
  };
  const groups = createGroups(store.groups);
  const desired = createDesired({ store, groups, devices, fleet: 'lab', epoch: 1, publish: () => undefined });
  const questions: TelemetryQuestion[] = [];
  const make = (): Rollouts =>
    createRollouts({
      ...{ clock, random: () => 0.5, log: silentLog, devices, groups },
      store: { transaction: store.transaction, rollouts: createRolloutStore(store.sqlite) },
      releases: {
        find: (_kind, _name, version = 4) => releaseOf(version),
        require: (_kind, name, version = 4) => {
          if (name === NAME) return releaseOf(version);
          throw new AppError('not-found', `release '${name}' is not known`);
        },
      },
      orders: {
        give: (kind, orders) => desired.giveOrders(kind, orders),
        of: (device, kind) => desired.orderOf(device, kind),
      },
      query: async (question) => {
        questions.push(question);
        const { metric, by } = question.query;
        const points = [{ ts: 1, value: answer, count: 500 }];
        const series = [{ key: by === undefined ? '' : FAMILY, points }];
        return {
          metric,
          unit: '',
          aggregate: 'mean',
          since: 0,
          until: 1,
          bucketMs: 1,
          timeZone: 'UTC',
          series,
          ...{ resolutionMs: 0, devices: 1, redated: 0, late: 0, lost: 0 },
        };
      },
    });
  const report = (rollouts: Rollouts, id: string, install: Partial<InstallReport>, family = 'old'): void => {
    const order = desired.orderOf(id, 'family');
    const base = {
      name: NAME,
      version: 4,
      ts: 1,
      rollout: order?.rollout ?? 'none',
      deed: 'install',
    } as const;
    const reported = reportedOf(family, { ...base, state: 'in-progress', step: 'fetching', ...install });
    reports.set(id, reported);
    rollouts.onReported(id, reported);
  };
  const orders = (): Record<string, Order['deed']> =>
    Object.fromEntries(
      [...known.keys()].flatMap((id) => {
        const order = desired.orderOf(id, 'family');
        return order === undefined ? [] : [[id, order.deed]];
      }),
    );
  return {
    store,
    clock,
    known,
    make,
    report,
    orders,
    questions,
    [Symbol.dispose]: () => store[Symbol.dispose](),
  };
}

const parseStart = parserOf(RolloutStartSchema);
const parseDetail = parserOf(RolloutDetailSchema);
const parseList = parserOf(RolloutListSchema);

function asked(change: Partial<RolloutStart> = {}): RolloutStart {
  const defaults = {
    kind: 'family',
    dynamic: false,
    order: 'name',
    gates: [],
    onAbort: 'revert',
    force: false,
  };
  const times = { soakMs: 0, stepTimeoutMs: 60_000, joinTimeoutMs: 600_000, baselineMs: 60_000 };
  return parseStart({ ...defaults, ...times, release: NAME, target: { all: true }, ...change }, 'request');
}

const DONE = { state: 'succeeded', step: 'committed', activatedTs: 1_700_000_000_500 } as const;

const held = (name: string) => ({ sha256: name.repeat(32), asked: new Set<string>(), heldMs: 0, quietMs: 0 });

test('a rollout goes through its stages over a restart of the controller, and ends', async () => {
  await using folder = await temporaryFolder();
  using world = await lab(folder.path);
  {
    await using rollouts = world.make();
    rollouts.start();
    expect(rollouts.begin(asked({ canary: '1' }))).toMatchObject({
      id: `${NAME}-4`,
      state: 'running',
      stages: 2,
    });
    await world.clock.advance(2_000);
    expect(world.orders()).toEqual({ d1: 'install' });
    expect(rollouts.expectsMore(held('ab'))).toBe(true);
    expect(rollouts.expectsMore(held('dd'))).toBe(false);
    expect(rollouts.needs('family', NAME, 4)).toBe(true);
    world.report(rollouts, 'd1', { step: 'staging', bytes: 5, ofBytes: 10 });
    await world.clock.advance(200);
    expect(rollouts.expectsMore(held('ab'))).toBe(false);
    const [first] = parseDetail(rollouts.show(`${NAME}-4`), 'view').devices;
    expect(first).toMatchObject({ device: 'd1', state: 'IN_PROGRESS', step: 'staging', bytes: 5 });
  }
  await using rollouts = world.make();
  rollouts.start();
  world.report(rollouts, 'd1', DONE, FAMILY);
  await world.clock.advance(2_000);
  expect(world.orders()).toEqual({ d1: 'install', d2: 'install', d3: 'install' });
  world.report(rollouts, 'd2', DONE, FAMILY);
  world.report(rollouts, 'd3', { state: 'failed', step: 'profiling', reason: 'it crashed' });
  await world.clock.advance(2_000);
  const [listed] = parseList({ rollouts: rollouts.list() }, 'list').rollouts;
  expect(listed).toMatchObject({ state: 'completed', done: true, counts: { SUCCEEDED: 2, FAILED: 1 } });
  expect(world.orders()).toEqual({ d1: 'install', d2: 'install' });
  expect(rollouts.control(`${NAME}-4`, { deed: 'undo' }).state).toBe('undoing');
  await world.clock.advance(2_000);
  expect(world.orders()).toEqual({ d1: 'revert', d2: 'revert' });
  for (const id of ['d1', 'd2'])
    world.report(rollouts, id, { deed: 'revert', state: 'succeeded', step: 'committed' });
  await world.clock.advance(2_000);
  expect(rollouts.show(`${NAME}-4`).state).toBe('undone');
  expect(world.orders()).toEqual({});
});

test('gates are asked of the history: the family since it serves, and the same devices before', async () => {
  await using folder = await temporaryFolder();
  using world = await lab(folder.path, { answer: 0.5 });
  await using rollouts = world.make();
  rollouts.start();
  rollouts.begin(asked({ canary: '2', gates: ['miss<1%', 'shed<90%', 'p99<+10%'], soakMs: 60_000 }));
  await world.clock.advance(2_000);
  const startTs = rollouts.show(`${NAME}-4`).devices[0]?.orderedTs ?? 0;
  world.report(rollouts, 'd1', { step: 'soaking', activatedTs: startTs + 100 }, FAMILY);
  await world.clock.advance(12_000);
  const asks = world.questions.map(({ query, devices }) => ({ ...query, devices }));
  const devices = ['d1'];
  expect(asks).toContainEqual({ metric: 'missShare', since: startTs + 100, by: 'family', devices });
  expect(asks).toContainEqual({ metric: 'missShare', since: startTs - 60_000, until: startTs, devices });
  expect(asks).toContainEqual({ metric: 'sheds', aggregate: 'sum', since: startTs + 100, devices });
  expect(asks).toContainEqual({
    metric: 'latencyMs',
    aggregate: 'p99',
    since: startTs + 100,
    by: 'family',
    devices,
  });
  const rollout = parseDetail(rollouts.show(`${NAME}-4`), 'view');
  expect(rollout).toMatchObject({
    state: 'aborting',
    reason: expect.stringMatching(
      /^stage 1: gate miss<1% is broken: miss is 50% \(before: 50%\), above the limit of 1%/,
    ),
  });
  expect(rollout.gates.map(({ verdict }) => verdict)).toEqual(['broken', 'holds', 'holds']);
  expect(world.orders()).toEqual({ d1: 'revert', d2: 'revert' });
});

test('what cannot be is refused before anything is stored', async () => {
  await using folder = await temporaryFolder();
  using world = await lab(folder.path);
  await using rollouts = world.make();
  const refused = (change: Partial<RolloutStart>) => () => rollouts.begin(asked(change));
  expect(refused({ release: 'unknown' })).toThrow("release 'unknown' is not known");
  expect(refused({ version: 9 })).toThrow('has expired');
  expect(refused({ target: { selector: 'site=moon' } })).toThrow("selector 'site=moon' selects no device");
  expect(refused({ target: {} })).toThrow('say which devices');
  expect(refused({ target: { device: 'd1', all: true } })).toThrow('say which devices');
  expect(refused({ gates: ['miss'] })).toThrow("gate 'miss'");
  expect(refused({ maintenance: { cron: 'soon', lengthMs: 60_000 } })).toThrow('--window');
  expect(rollouts.list()).toEqual([]);
});

test('a device follows one rollout of a kind: another one is refused, or takes it over', async () => {
  await using folder = await temporaryFolder();
  using world = await lab(folder.path);
  await using rollouts = world.make();
  rollouts.start();
  rollouts.begin(asked({ id: 'first' }));
  await world.clock.advance(2_000);
  expect(() => rollouts.begin(asked({ id: 'first', target: { device: 'd1' }, force: true }))).toThrow(
    'is there already',
  );
  expect(() => rollouts.begin(asked({ version: 5 }))).toThrow("rollout 'first' has d1 and 2 more");
  await world.clock.advance(1_000);
  rollouts.begin(asked({ id: 'second', version: 5, target: { device: 'd1' }, force: true }));
  await world.clock.advance(2_000);
  expect(rollouts.show('first').devices[0]).toMatchObject({
    state: 'CANCELED',
    reason: 'taken over by rollout second',
  });
  expect(rollouts.show('second').devices).toMatchObject([{ device: 'd1', state: 'QUEUED', attempts: 1 }]);
  rollouts.control('first', { deed: 'abort' });
  await world.clock.advance(2_000);
  expect(world.orders()).toEqual({ d1: 'install', d2: 'revert', d3: 'revert' });
});

test('devices join a dynamic rollout as their labels come to fit', async () => {
  await using folder = await temporaryFolder();
  using world = await lab(folder.path, { count: 1 });
  await using rollouts = world.make();
  rollouts.start();
  rollouts.begin(asked({ id: 'all-lab', target: { selector: 'site=lab' }, dynamic: true }));
  await world.clock.advance(2_000);
  world.report(rollouts, 'd1', DONE, FAMILY);
  await world.clock.advance(2_000);
  expect(rollouts.show('all-lab')).toMatchObject({
    state: 'running',
    done: true,
    waitsFor: 'devices that join it',
  });
  const [d1] = world.known.values();
  if (d1 !== undefined) world.known.set('d2', { ...d1, id: 'd2' });
  await world.clock.advance(2_000);
  expect(world.orders()).toEqual({ d1: 'install', d2: 'install' });
});

test('of rollouts that are over the newest 200 are kept, with their devices', async () => {
  await using folder = await temporaryFolder();
  using fleet = openFleetStore(folder.path);
  const store = createRolloutStore(fleet.sqlite);
  for (let n = 0; n <= 200; n += 1) {
    const { rollout, devices } = documentOf({ id: `r-${n}`, createdTs: n }, ['d1']);
    store.save({ ...rollout, state: n === 0 ? 'running' : 'completed' }, devices.values());
  }
  const { rollout } = documentOf({ id: 'r-201', createdTs: 201 }, []);
  store.save({ ...rollout, state: 'aborted' }, []);
  expect(store.all()).toHaveLength(201);
  expect(store.get('r-1')).toBeUndefined();
  expect(store.devices('r-1')).toEqual([]);
  expect(store.devices('r-0')).toHaveLength(1);
});
