import { expect, test } from 'vitest';
import { watchRollout } from '../../../controller/cli/rollout.ts';
import { advance } from '../../../controller/rollouts/advance.ts';
import { controlled } from '../../../controller/rollouts/control.ts';
import { parseGate } from '../../../controller/rollouts/gates.ts';
import { askersOf, type HeldBlob, isWorthWaiting } from '../../../controller/rollouts/gathering.ts';
import { measureGates } from '../../../controller/rollouts/measure.ts';
import { newRollout, type ReleaseInfo } from '../../../controller/rollouts/start.ts';
import { rolloutDetail } from '../../../controller/rollouts/view.ts';
import { AppError } from '../../../shared/errors.ts';
import type { Order } from '../../../shared/protocol/release.ts';
import { FAMILY, PLAN, RELEASE, rolloutWorld, succeed } from './rollout-world.ts';

const CANARY = [{ count: 1 }, { share: 1 }];
const EARLIER: Order = {
  ...{ rollout: 'r-0', release: RELEASE, deed: 'install' },
  ...{ soakMs: 0, stepTimeoutMs: 1 },
};

test('an order that was stored and not given, because the controller died, is given although an earlier one is there', () => {
  const world = rolloutWorld({}, ['a', 'b']);
  for (const id of ['a', 'b']) world.orders.set(id, EARLIER);
  const { rollout, devices, orders } = advance(world.document, world.facts());
  expect([...orders.keys()]).toEqual(['a', 'b']);
  world.document = { rollout, devices };
  world.settle();
  expect([...world.orders.values()].map((order) => order.rollout)).toEqual(['r-1', 'r-1']);
});

test('who has it keeps the order of a newer rollout', () => {
  const world = rolloutWorld({ isDynamic: true }, ['a']);
  world.settle();
  succeed(world, 'a');
  world.settle();
  world.orders.set('a', EARLIER);
  world.settle(1_000);
  expect(world.orders.get('a')).toBe(EARLIER);
});

const held = (change: Partial<HeldBlob>): HeldBlob => ({
  ...{ sha256: RELEASE.manifest.sha256, asked: new Set(), heldMs: 0, quietMs: 0 },
  ...change,
});

test('chunks of the manifest wait for devices that are still to come, for as long as some still come', () => {
  const world = rolloutWorld({}, ['a', 'b']);
  world.know('b', { isOnline: false });
  world.settle();
  world.know('a', { install: { step: 'fetching' } });
  world.settle();
  const isMore = (quietMs: number): boolean =>
    isWorthWaiting(askersOf(world.document, world.facts()), held({ quietMs }), RELEASE.manifest.sha256);
  expect([isMore(0), isMore(14_000), isMore(16_000)]).toEqual([true, true, false]);
  world.know('b', { isOnline: true, install: { step: 'fetching' } });
  world.settle();
  expect(isMore(0)).toBe(false);
});

test('nobody waits for devices that the rate holds back for long', () => {
  const world = rolloutWorld({ rate: { count: 2, perMs: 600_000 } }, ['a', 'b', 'c']);
  world.settle();
  const told = [...world.orders.keys()];
  const isMore = (): boolean =>
    isWorthWaiting(askersOf(world.document, world.facts()), held({}), RELEASE.manifest.sha256);
  expect([told.length, isMore()]).toEqual([2, true]);
  for (const id of told) world.know(id, { install: { step: 'fetching' } });
  world.settle();
  expect(isMore()).toBe(false);
});

test('chunks of what a manifest names wait a moment for those that fetch it too', () => {
  const world = rolloutWorld({}, ['a', 'b']);
  world.settle();
  for (const id of ['a', 'b']) world.know(id, { install: { step: 'fetching' } });
  world.settle();
  const isMore = (change: Partial<HeldBlob>): boolean =>
    isWorthWaiting(
      askersOf(world.document, world.facts()),
      held({ sha256: FAMILY, asked: new Set(['a']), ...change }),
      RELEASE.manifest.sha256,
    );
  expect([isMore({}), isMore({ heldMs: 4_000 }), isMore({ asked: new Set(['a', 'b']) })]).toEqual([
    true,
    false,
    false,
  ]);
});

test('nobody waits for others until its own time is over', () => {
  const world = rolloutWorld({}, ['a', 'b']);
  world.settle();
  world.know('a', { install: { step: 'fetching' } });
  world.settle();
  const isMore = (): boolean =>
    isWorthWaiting(askersOf(world.document, world.facts()), held({}), RELEASE.manifest.sha256);
  expect(isMore()).toBe(true);
  world.settle(2_600);
  expect(isMore()).toBe(false);
});

test('a canary that was taken away shows nothing: the other devices do not get it untried', () => {
  const world = rolloutWorld({ canary: CANARY }, ['a', 'b', 'c']);
  world.settle();
  world.know('a', { isTarget: false });
  world.settle();
  expect(world.document.rollout).toMatchObject({
    state: 'aborted',
    reason: 'stage 1: none of 1 devices succeeded; a: it has left the fleet',
  });
  expect(world.orders.has('b')).toBe(false);
});

test('thousands of orders are given some hundred at a time, none twice, and taken back likewise', () => {
  const ids = Array.from({ length: 1_200 }, (_, n) => `d${n}`);
  const world = rolloutWorld({}, ids);
  const given = (): number[] =>
    world.settle().flatMap(({ orders }) => (orders.size > 0 ? [orders.size] : []));
  expect(given()).toEqual([500, 500, 200]);
  world.document = controlled(world.document, { deed: 'abort', onAbort: 'keep' }, world.now);
  expect(given()).toEqual([500, 500, 200]);
  expect(world.document.rollout.state).toBe('aborted');
});

test('a release of which blobs are gone, or that no device believes, is not rolled out', () => {
  const damaged: ReleaseInfo = {
    ...{ kind: 'family', ref: RELEASE, damaged: [FAMILY] },
    manifest: {
      ...({ format: 1, document: 'release', kind: 'family', name: RELEASE.name, version: 4 } as const),
      ...{ createdTs: 1, expiresTs: 9e12, blobs: [] },
    },
  };
  const unused = (): never => {
    throw new Error('not asked');
  };
  const start = (release: ReleaseInfo) =>
    newRollout(
      {
        ...({ kind: 'family', release: RELEASE.name, target: { all: true }, dynamic: true } as const),
        ...({ order: 'drawn', onAbort: 'revert', force: false, gates: [] } as const),
        ...{ soakMs: 0, stepTimeoutMs: 1_000, joinTimeoutMs: 1_000, baselineMs: 1_000 },
      },
      {
        ...{ devices: { all: () => [], require: unused }, groups: { require: unused } },
        ...{ releases: { find: () => release, require: () => release }, now: 1, isTaken: () => false },
      },
    );
  const { damaged: _damaged, ...whole } = damaged;
  expect(() => start({ ...whole, untrusted: 'its key is revoked' })).toThrow(
    /@4: its key is revoked; publish/,
  );
  expect(start(whole).rollout.state).toBe('running');
  expect(() => start(damaged)).toThrow(/fashion-mnist@4: 1 of its blobs are not on the controller any more/);
});

test('the first of many devices is so much of what is to be measured, however long it has served', async () => {
  const world = rolloutWorld({ gates: [parseGate('latency<+50%')], soakMs: 0 }, ['a', 'b', 'c', 'd']);
  world.settle();
  succeed(world, 'a');
  world.settle();
  const point = { ts: 1, value: 2, count: 60 };
  const [measured] =
    (await measureGates(world.document.rollout, world.document.devices, {
      of: world.facts().of,
      now: world.now,
      query: async ({ query: { metric, by } }) => ({
        ...{ metric, unit: 'ms', aggregate: 'mean', since: 0, until: 1, bucketMs: 1, timeZone: 'UTC' },
        ...{ resolutionMs: 0, devices: 1, redated: 0, late: 0, lost: 0 },
        series: [{ key: by === undefined ? '' : FAMILY, points: [point] }],
      }),
    })) ?? [];
  expect(measured).toMatchObject({ now: 2, count: 60, share: 0.25 });
});

test('watching a rollout outlasts a controller that is started anew, and says so once', async () => {
  const world = rolloutWorld({}, ['a']);
  const running = rolloutDetail(world.document, world.facts());
  const gone = new AppError('unreachable', 'cannot reach the controller');
  const answers = [gone, gone, running, gone, { ...running, done: true, state: 'completed' }];
  const notes: string[] = [];
  const printed: unknown[] = [];
  await watchRollout(
    {
      clock: { now: () => PLAN.createdTs, monoMs: () => 0, sleep: async () => undefined },
      stopped: () => new Promise(() => {}),
      note: (line) => notes.push(line),
      print: ({ json }) => printed.push(json),
      write: () => undefined,
    },
    {
      ...{ first: running, output: 'json' },
      show: async () => {
        const answer = answers.shift();
        if (answer === undefined || answer instanceof AppError) throw answer ?? new Error('asked too often');
        return answer;
      },
    },
  );
  expect(notes).toEqual([gone.message, gone.message]);
  expect(printed).toEqual([expect.objectContaining({ state: 'completed' })]);
});
