import { expect, test } from 'vitest';
import { controlled } from '../../../controller/rollouts/control.ts';
import { rolloutDetail } from '../../../controller/rollouts/view.ts';
import { rolloutWorld, succeed } from './rollout-world.ts';

const CANARY = [{ count: 1 }, { share: 1 }];

test('a stage is told to install, and the next one opens once it has succeeded', () => {
  const world = rolloutWorld({ canary: CANARY }, ['a', 'b', 'c']);
  world.settle();
  expect([...world.orders.keys()]).toEqual(['a']);
  expect(world.orders.get('a')).toMatchObject({ rollout: 'r-1', deed: 'install', soakMs: 1_000 });
  world.know('a', { install: { step: 'soaking', activatedTs: 5 } });
  world.settle(100);
  expect(world.states()).toEqual({ a: 'IN_PROGRESS', b: 'QUEUED', c: 'QUEUED' });
  succeed(world, 'a');
  world.settle(100);
  expect([...world.orders.keys()]).toEqual(['a', 'b', 'c']);
  succeed(world, 'b', 'c');
  world.settle(100);
  expect(world.document.rollout).toMatchObject({ state: 'completed', counts: { SUCCEEDED: 3 } });
});

test('a device that runs it already has nothing to do, and the stages of such devices pass by', () => {
  const world = rolloutWorld({ canary: CANARY, gates: [gate('miss')] }, ['a', 'b']);
  for (const id of ['a', 'b']) world.know(id, { familySha256: world.document.rollout.plan.familySha256 });
  world.settle();
  expect(world.document.rollout.state).toBe('completed');
  expect(world.device('b')).toMatchObject({ state: 'SUCCEEDED', reason: 'has it already', attempts: 0 });
  expect(world.orders.size).toBe(0);
});

function gate(metric: 'miss' | 'latency' | 'crashes') {
  return { metric, op: '<', value: 0.01, isAgainstBefore: false } as const;
}

test('a report of another rollout is not heard', () => {
  const world = rolloutWorld({}, ['a']);
  world.settle();
  world.know('a', { install: { rollout: 'r-0', state: 'failed', reason: 'another' } });
  world.settle(100);
  expect(world.states()).toEqual({ a: 'QUEUED' });
});

test('devices that are offline hold up nobody, join when they come back, and time out', () => {
  const world = rolloutWorld({ canary: [{ count: 2 }, { share: 1 }] }, ['a', 'b', 'c', 'd']);
  world.know('b', { isOnline: false });
  world.know('d', { isOnline: false });
  world.settle();
  succeed(world, 'a');
  world.settle(100);
  succeed(world, 'c');
  world.settle(100);
  expect(world.document.rollout).toMatchObject({ state: 'running', stage: 1 });
  world.know('b', { isOnline: true });
  world.settle(100);
  expect(world.orders.has('b')).toBe(true);
  succeed(world, 'b');
  world.settle(99_700);
  expect(world.document.rollout.state).toBe('running');
  world.settle(100);
  expect(world.device('d')).toMatchObject({
    state: 'TIMED_OUT',
    reason: expect.stringContaining('did not come back'),
  });
  expect(world.document.rollout.state).toBe('completed');
});

test('no progress times out, with the step; time that the device was away or the rollout paused does not count', () => {
  const world = rolloutWorld({}, ['a', 'b']);
  world.settle();
  world.know('a', { install: { step: 'staging' } });
  world.settle(9_000);
  world.know('a', { isOnline: false });
  world.settle();
  world.settle(50_000);
  expect(world.states()).toEqual({ a: 'IN_PROGRESS', b: 'TIMED_OUT' });
  expect(world.device('b').reason).toBe('no answer to its order within 10s');
  expect(world.orders.has('b')).toBe(false);
  world.know('a', { isOnline: true });
  world.settle();
  world.document = controlled(world.document, { deed: 'pause' }, world.now);
  world.settle(60_000);
  world.document = controlled(world.document, { deed: 'resume' }, world.now);
  world.settle(9_000);
  expect(world.device('a').state).toBe('IN_PROGRESS');
  world.settle(10_000);
  expect(world.device('a')).toMatchObject({
    state: 'TIMED_OUT',
    reason: 'no progress for 10s in step staging',
  });
});

test('orders keep to the rate, and to the maintenance window', () => {
  const world = rolloutWorld({ rate: { count: 2, perMs: 60_000 } }, ['a', 'b', 'c', 'd', 'e']);
  world.mayOrder = false;
  world.settle(1_000);
  expect(rolloutDetail(world.document, world.facts()).waitsFor).toContain('maintenance window');
  world.mayOrder = true;
  world.settle(1_000);
  expect([...world.orders.keys()]).toEqual(['a', 'b']);
  expect(rolloutDetail(world.document, world.facts()).waitsFor).toContain('rate of 2/min');
  succeed(world, 'a', 'b');
  world.settle(59_000);
  expect(world.orders.size).toBe(2);
  world.settle(1_000);
  expect([...world.orders.keys()]).toEqual(['a', 'b', 'c', 'd']);
});

test('a gate that is broken aborts with what was measured, and whoever took it goes back', () => {
  const canary = [{ count: 3 }, { share: 1 }];
  const world = rolloutWorld({ canary, gates: [gate('miss')] }, ['a', 'b', 'c', 'd']);
  world.settle();
  succeed(world, 'a');
  world.know('b', { install: { step: 'soaking', activatedTs: 5 } });
  world.know('c', { install: { state: 'failed', step: 'profiling', reason: 'too slow' } });
  world.measure({ now: 0.03, before: 0.001, share: 0.1 });
  world.settle(100);
  expect(world.document.rollout.state).toBe('running');
  world.measure({ now: 0.5, before: 0.001, share: 0.1 });
  world.settle(100);
  expect(world.document.rollout).toMatchObject({
    state: 'aborting',
    reason:
      'stage 1: gate miss<1% is broken: miss is 50% (before: 0.1%), above the limit of 1%, of 1000 inferences',
  });
  expect(world.states()).toEqual({ a: 'SUCCEEDED', b: 'CANCELED', c: 'FAILED', d: 'CANCELED' });
  expect([...world.orders].map(([id, { deed }]) => [id, deed])).toEqual([
    ['a', 'revert'],
    ['b', 'revert'],
  ]);
  world.know('a', { install: { deed: 'revert', state: 'succeeded', step: 'committed' } });
  world.settle(100);
  expect(rolloutDetail(world.document, world.facts()).waitsFor).toContain('1 of 4 devices to go back');
  world.settle(10_000);
  expect(world.device('a').revert?.state).toBe('done');
  expect(world.device('b').revert).toMatchObject({ state: 'timed-out' });
  expect(world.document.rollout.state).toBe('aborted');
  expect(world.orders.size).toBe(0);
});

test('a rollout that keeps what was installed only takes back what is not yet done', () => {
  const world = rolloutWorld({ onAbort: 'keep' }, ['a', 'b']);
  world.settle();
  succeed(world, 'a');
  world.settle(100);
  world.document = controlled(world.document, { deed: 'abort' }, world.now);
  world.settle();
  expect(world.document.rollout).toMatchObject({ state: 'aborted', reason: 'aborted by an operator' });
  expect([...world.orders.keys()]).toEqual(['a']);
  expect(world.device('b')).toMatchObject({ state: 'CANCELED' });
});

test('gates wait for telemetry, and no data in time is no pass', () => {
  const world = rolloutWorld({ canary: CANARY, gates: [gate('miss')] }, ['a', 'b']);
  world.settle();
  succeed(world, 'a');
  world.settle(100);
  world.measure({ count: 0 });
  world.settle(9_800);
  expect(rolloutDetail(world.document, world.facts()).waitsFor).toMatch(
    /telemetry for the gates .* until 1970/,
  );
  world.settle(200);
  expect(world.document.rollout).toMatchObject({
    state: 'aborting',
    reason: 'stage 1: gate miss<1%: no data of miss',
  });
});

test('a gate that holds opens the next stage once enough of it is of devices that have ended', () => {
  const world = rolloutWorld({ canary: CANARY, gates: [gate('miss'), gate('crashes')] }, ['a', 'b']);
  world.settle();
  succeed(world, 'a');
  world.measure({ now: 0 }, { now: 0, count: 1 });
  world.settle(100);
  expect(world.document.rollout.stage).toBe(0);
  world.settle(8_000);
  world.measure({ now: 0 }, { now: 0, count: 1 });
  world.settle(100);
  expect(world.document.rollout.stage).toBe(1);
  expect(world.document.rollout.measured).toBeUndefined();
});

test('too many failures abort, counted over those that have finished', () => {
  const abort = { of: 'failed', op: '>=', value: 0.5, isShare: true, min: 2 } as const;
  const world = rolloutWorld({ abort }, ['a', 'b', 'c']);
  world.settle();
  world.know('a', { install: { state: 'rejected', reason: 'for other hardware' } });
  world.settle(100);
  expect(world.document.rollout.state).toBe('running');
  succeed(world, 'b');
  world.settle(100);
  expect(world.document.rollout).toMatchObject({
    state: 'aborting',
    reason: 'failed>=50% min 2: 1 of 2 devices (50%) failed; a: for other hardware',
  });
});

test('a stage in which nobody succeeds ends the rollout', () => {
  const world = rolloutWorld({ canary: CANARY }, ['a', 'b']);
  world.settle();
  world.know('a', { install: { state: 'failed', reason: 'crashed' } });
  world.settle(100);
  expect(world.document.rollout).toMatchObject({
    state: 'aborted',
    reason: 'stage 1: none of 1 devices succeeded; a: crashed',
  });
});

test('who had it already does not stand in for those who fail', () => {
  const world = rolloutWorld({}, ['a', 'b']);
  world.know('a', { familySha256: world.document.rollout.plan.familySha256 });
  world.settle();
  world.know('b', { install: { state: 'failed', reason: 'crashed' } });
  world.settle(100);
  expect(world.document.rollout).toMatchObject({
    state: 'aborted',
    reason: expect.stringContaining('none of'),
  });
});

test('undo sends back whoever took it, but not what a newer rollout has', () => {
  const world = rolloutWorld({}, ['a', 'b', 'c']);
  world.settle();
  succeed(world, 'a', 'b');
  world.know('c', { install: { state: 'rejected' } });
  world.settle(100);
  expect(world.document.rollout.state).toBe('completed');
  const order = world.orders.get('b');
  if (order !== undefined) world.orders.set('b', { ...order, rollout: 'r-2' });
  world.document = controlled(world.document, { deed: 'undo' }, world.now);
  world.settle();
  expect(world.orders.get('a')).toMatchObject({ deed: 'revert' });
  expect(world.device('b').revert).toMatchObject({ state: 'skipped', reason: 'rollout r-2 has it' });
  world.know('a', { install: { deed: 'revert', state: 'succeeded', step: 'committed' } });
  world.settle(100);
  expect(world.document.rollout.state).toBe('undone');
  expect(() => controlled(world.document, { deed: 'undo' }, world.now)).toThrow('nothing to undo');
});

test('a dynamic rollout takes in who comes to be selected, and lets go who no longer is', () => {
  const world = rolloutWorld({ isDynamic: true }, ['a', 'b']);
  world.know('b', { isOnline: false });
  world.settle();
  succeed(world, 'a');
  world.know('b', { isTarget: false });
  world.joining = ['c'];
  world.settle(100);
  world.joining = [];
  expect(world.orders.has('c')).toBe(true);
  succeed(world, 'c');
  world.settle(100);
  expect(world.states()).toEqual({ a: 'SUCCEEDED', b: 'REMOVED', c: 'SUCCEEDED' });
  expect(rolloutDetail(world.document, world.facts())).toMatchObject({
    state: 'running',
    waitsFor: 'devices that join it',
  });
});

test('an order that was lost between two stores is given again', () => {
  const world = rolloutWorld({}, ['a']);
  world.settle();
  world.orders.clear();
  world.settle();
  expect(world.orders.get('a')).toMatchObject({ deed: 'install' });
});
