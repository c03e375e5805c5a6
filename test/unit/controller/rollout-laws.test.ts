import fc from 'fast-check';
import { expect, test } from 'vitest';
import type { Advance } from '../../../controller/rollouts/advance.ts';
import { controlled } from '../../../controller/rollouts/control.ts';
import { isFinal, isReverting } from '../../../controller/rollouts/device-step.ts';
import { deviceWaiting, waitingOf } from '../../../controller/rollouts/waiting.ts';
import { isOver, type RolloutState } from '../../../controller/store/rollout-store.ts';
import { INSTALL_STATES, INSTALL_STEPS } from '../../../shared/protocol/release.ts';
import { FAMILY, type RolloutWorld, rolloutWorld } from './rollout-world.ts';
import '../../support/properties.ts';

const IDS = ['a', 'b', 'c', 'd', 'e', 'f'] as const;
const RATE = { count: 2, perMs: 5_000 };

/** One thing that happens in the world. */
type Act = (world: RolloutWorld) => void;

const anId = fc.constantFrom(...IDS);

const report = fc
  .record({
    id: anId,
    rollout: fc.constantFrom('r-1', 'r-1', 'r-1', 'r-0'),
    deed: fc.constantFrom('install', 'install', 'revert'),
    state: fc.constantFrom(...INSTALL_STATES),
    step: fc.constantFrom(...INSTALL_STEPS),
    bytes: fc.nat(1_000),
    isServing: fc.boolean(),
  })
  .map(
    ({ id, isServing, ...install }): Act =>
      (world) => {
        const activated = isServing ? { activatedTs: world.now } : {};
        world.know(id, { install: { ...install, ...activated }, familySha256: isServing ? FAMILY : 'old' });
      },
  );

const acts: fc.Arbitrary<Act> = fc.oneof(
  { weight: 4, arbitrary: report },
  fc.record({ id: anId, isOnline: fc.boolean() }).map(
    ({ id, isOnline }): Act =>
      (world) =>
        world.know(id, { isOnline }),
  ),
  fc.record({ id: anId, isTarget: fc.boolean() }).map(
    ({ id, isTarget }): Act =>
      (world) =>
        world.know(id, { isTarget }),
  ),
  anId.map(
    (id): Act =>
      (world) =>
        world.know(id, { busyWith: 'r-9' }),
  ),
  fc.integer({ min: -1e9, max: 1e9 }).map(
    (ms): Act =>
      (world) => {
        world.now += ms;
      },
  ),
  fc.boolean().map(
    (mayOrder): Act =>
      (world) => {
        world.mayOrder = mayOrder;
      },
  ),
  fc.constantFrom('pause', 'resume', 'abort', 'undo').map(
    (deed): Act =>
      (world) => {
        try {
          world.document = controlled(world.document, { deed }, world.now);
        } catch {
          // Not in that state.
        }
      },
  ),
  fc.record({ now: fc.double({ min: 0, max: 1, noNaN: true }), count: fc.nat(100) }).map(
    (value): Act =>
      (world) => {
        world.measure(value);
      },
  ),
  // Stored and read again; the last orders were lost on the way.
  fc.constant<Act>((world) => {
    const { rollout, devices } = world.document;
    world.document = JSON.parse(JSON.stringify({ rollout, devices: [...devices] }), (key, value) =>
      key === 'devices' ? new Map(value) : value,
    );
    world.orders.clear();
  }),
);

const NEXT: Readonly<Record<RolloutState, readonly RolloutState[]>> = {
  running: ['running', 'aborting', 'aborted', 'completed'],
  paused: ['paused', 'aborting', 'aborted'],
  aborting: ['aborting', 'aborted'],
  undoing: ['undoing', 'undone'],
  aborted: ['aborted'],
  undone: ['undone'],
  completed: ['completed'],
};
const RANKS: Readonly<Record<string, number>> = { QUEUED: 0, IN_PROGRESS: 1 };
const rankOf = (state: string): number => RANKS[state] ?? 2;

/** Everything that must hold of a step, whatever happened before it. */
function checkStep(before: RolloutWorld['document'], after: Advance): void {
  expect(NEXT[before.rollout.state]).toContain(after.rollout.state);
  expect(after.rollout.stage - before.rollout.stage).toBeOneOf([0, 1]);
  for (const [id, device] of after.devices) {
    const old = before.devices.get(id);
    if (old === undefined) continue;
    expect(rankOf(device.state)).toBeGreaterThanOrEqual(rankOf(old.state));
    if (isFinal(old)) expect(device.state).toBe(old.state);
    expect(device.attempts).toBeLessThanOrEqual(1);
    if (device.attempts > old.attempts) {
      expect(device.stage).toBeLessThanOrEqual(before.rollout.stage);
      expect(before.rollout.state).toBe('running');
    }
  }
}

/** Nothing waits without a word about what it waits for. */
function checkWords(world: RolloutWorld): void {
  const { rollout, devices } = world.document;
  const facts = world.facts();
  expect(waitingOf(world.document, facts) === undefined).toBe(isOver(rollout));
  for (const device of devices.values()) {
    const isWaiting = !isOver(rollout) && (!isFinal(device) || isReverting(device));
    expect(deviceWaiting(device, rollout, facts) !== undefined).toBe(isWaiting);
  }
}

function checkRate(orderedMs: readonly number[]): void {
  for (const ms of orderedMs) {
    const within = orderedMs.filter((other) => other > ms - RATE.perMs && other <= ms);
    expect(within.length).toBeLessThanOrEqual(RATE.count);
  }
}

/** Lets things happen, a step of the world after each, and checks what must always hold. */
function live(world: RolloutWorld, happenings: readonly (readonly [Act, number])[]): void {
  const orderedMs: number[] = [];
  for (const [act, elapsedMs] of happenings) {
    act(world);
    let before = world.document;
    const steps = world.settle(elapsedMs);
    expect(steps.length).toBeLessThan(50);
    for (const step of steps) {
      checkStep(before, step);
      const isNew = (id: string): boolean =>
        (step.devices.get(id)?.attempts ?? 0) > (before.devices.get(id)?.attempts ?? 0);
      for (const id of step.devices.keys()) if (isNew(id)) orderedMs.push(step.rollout.watchedMs);
      before = step;
    }
    checkWords(world);
  }
  checkRate(orderedMs);
}

const happenings = fc.array(fc.tuple(acts, fc.integer({ min: 0, max: 3_000 })), { maxLength: 40 });
const plans = fc.record({
  canary: fc.constantFrom([{ share: 1 }], [{ count: 1 }, { share: 0.5 }, { share: 1 }]),
  gates: fc.constantFrom([], [{ metric: 'miss', op: '<', value: 0.3, isAgainstBefore: false } as const]),
  onAbort: fc.constantFrom('revert', 'keep'),
  rate: fc.constant(RATE),
});
const aborts = fc.option(
  fc.constant({ of: 'failed', op: '>=', value: 0.5, isShare: true, min: 2 } as const),
  { nil: undefined },
);

test('whatever happens: states go forward, one stage at a time, within the rate, and all that waits says for what', () => {
  fc.assert(
    fc.property(plans, aborts, happenings, (plan, abort, all) => {
      live(rolloutWorld({ ...plan, ...(abort && { abort }) }, IDS), all);
    }),
    { numRuns: 300 },
  );
});

test('whatever happened, it ends when nothing more happens but that time passes', () => {
  fc.assert(
    fc.property(plans, happenings, (plan, all) => {
      const world = rolloutWorld({ ...plan, joinTimeoutMs: 20_000 }, IDS);
      live(world, all);
      if (world.document.rollout.state === 'paused') {
        world.document = controlled(world.document, { deed: 'resume' }, world.now);
      }
      world.mayOrder = true;
      // Three stages that wait for the rate, a step that times out, soaking, offline devices and telemetry.
      for (let ms = 0; ms < 400_000 && !isOver(world.document.rollout); ms += 1_000) world.settle(1_000);
      expect(isOver(world.document.rollout)).toBe(true);
      expect(world.document.rollout.counts).toBeDefined();
    }),
    { numRuns: 150 },
  );
});

test('devices that come and go for ever do not keep it from ending', () => {
  const world = rolloutWorld({ joinTimeoutMs: 20_000 }, IDS);
  for (let second = 0; second < 200 && !isOver(world.document.rollout); second += 1) {
    for (const id of IDS) world.know(id, { isOnline: second % 2 === 0 });
    world.settle(1_000);
  }
  expect(isOver(world.document.rollout)).toBe(true);
});
