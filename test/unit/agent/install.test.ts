import { readdir, rm, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import fc from 'fast-check';
import { afterEach, beforeEach, expect, test } from 'vitest';
import { familyFolder } from '../../../agent/store/family-folder.ts';
import { openInstallJournal } from '../../../agent/store/install-journal.ts';
import { AppError } from '../../../shared/errors.ts';
import { readFamily } from '../../../shared/family/read.ts';
import {
  fakeHost,
  type InstallProcess,
  type InstallWorld,
  installWorld,
  orderOf,
  tinyFamily,
} from '../../support/install.ts';
import '../../support/properties.ts';

let world: InstallWorld;

beforeEach(async () => {
  world = await installWorld();
});

afterEach(async () => {
  await world[Symbol.asyncDispose]();
});

/** Waits for the end of the order that stands. */
async function ended(agent: InstallProcess) {
  await world.until(() => agent.report() !== undefined && agent.report()?.state !== 'in-progress');
  return agent.report();
}

async function reaches(agent: InstallProcess, step: string): Promise<void> {
  await world.until(() => agent.report()?.step === step);
}

function stepsOf(rollout: string): string[] {
  return world.events
    .filter((event) => event.rollout === rollout)
    .map(({ state, step }) => `${state} ${step}`);
}

async function commit(version: number, rollout = `r${version}`) {
  const family = await world.family(version);
  const order = orderOf(await world.depot.publish(family), { rollout });
  world.wants.family = order;
  const agent = await world.start();
  expect(await ended(agent)).toMatchObject({ rollout, state: 'succeeded' });
  return { agent, family, order };
}

test('an order goes through its steps, is committed, and serves at the next start without the network', async () => {
  const family = await world.family(2);
  const release = await world.depot.publish(family);
  const agent = await world.start();
  world.wants.family = orderOf(release, { soakMs: 60_000 });
  agent.installer.changed();
  await reaches(agent, 'soaking');
  expect(agent.host.serving().sha256).toBe(family.sha256);
  await world.clock.advance(59_000);
  expect(agent.report()).toMatchObject({ state: 'in-progress', agreement: { frames: 100, share: 0.97 } });
  await world.clock.advance(2_000);
  expect(await ended(agent)).toMatchObject({
    state: 'succeeded',
    step: 'committed',
    name: release.name,
    version: 2,
  });
  const steps = ['fetching', 'staging', 'profiling', 'comparing', 'activating', 'soaking'];
  expect(stepsOf('r1')).toEqual([...steps.map((step) => `in-progress ${step}`), 'succeeded committed']);
  await agent.stop();
  const next = await world.start({ fetch: () => () => Promise.reject(new Error('no network')) });
  expect(next.family.sha256).toBe(family.sha256);
  expect(next.report()).toMatchObject({ state: 'succeeded' });
  expect(next.host.activated).toEqual([]);
});

test('the same order again does nothing', async () => {
  const { agent } = await commit(2);
  const told = world.events.length;
  agent.installer.changed();
  await agent.stop();
  const next = await world.start();
  next.installer.changed();
  await next.stop();
  expect(world.events).toHaveLength(told);
});

test('what is on the device is not fetched again', async () => {
  const { family } = await commit(2);
  const shared = family.manifest.levels[0]?.model.sha256;
  expect(world.depot.fetched).not.toContain(shared);
  expect(world.depot.fetched).toContain(family.manifest.levels[1]?.model.sha256);
});

test('a blob that has gone bad on the device is fetched anew', async () => {
  const family = await world.family(2);
  world.wants.family = orderOf(await world.depot.publish(family));
  const model = family.manifest.levels[1]?.model;
  if (model === undefined) throw new Error('a family without levels');
  const first = await world.start();
  await ended(first);
  await first.stop();
  await rm(familyFolder(world.stateDir, family.sha256), { recursive: true });
  await writeFile(join(world.stateDir, 'blobs', model.sha256), Buffer.alloc(model.bytes));
  const again = await world.start();
  expect(again.refused).toContain('family.json');
  world.wants.family = orderOf(await world.depot.publish(family), { rollout: 'again' });
  again.installer.changed();
  await world.until(() => again.report()?.rollout === 'again');
  expect(await ended(again)).toMatchObject({ state: 'succeeded' });
  await expect(readFamily(familyFolder(world.stateDir, family.sha256))).resolves.toBeDefined();
});

test('an order to go back takes what was committed before, from the disk', async () => {
  const { agent, order } = await commit(2);
  world.wants.family = { ...order, rollout: 'undo', deed: 'revert' };
  agent.installer.changed();
  await world.until(() => agent.report()?.rollout === 'undo');
  expect(await ended(agent)).toMatchObject({ state: 'succeeded', deed: 'revert' });
  expect(agent.host.serving().manifest.version).toBe(1);
  await agent.stop();
  expect((await world.start()).family.manifest.version).toBe(1);
});

test('an order to go back from what is not committed has nothing to do, and says so', async () => {
  const { agent, order } = await commit(2);
  const other = { ...order.release, manifest: { ...order.release.manifest, sha256: '0'.repeat(64) } };
  world.wants.family = { ...order, release: other, rollout: 'undo', deed: 'revert' };
  agent.installer.changed();
  await world.until(() => agent.report()?.rollout === 'undo');
  expect(agent.report()).toMatchObject({ state: 'succeeded', reason: /nothing to go back from/ });
  expect(agent.host.serving().manifest.version).toBe(2);
});

test('committed, the one before it and the factory family are kept, the rest is removed', async () => {
  for (const version of [2, 3, 4]) await (await commit(version)).agent.stop();
  const kept = await readdir(join(world.stateDir, 'families'));
  const versions = await Promise.all(
    kept.map(async (name) => (await readFamily(familyFolder(world.stateDir, name))).manifest.version),
  );
  expect(versions.toSorted()).toEqual([1, 3, 4]);
  expect(await readdir(join(world.stateDir, 'blobs'))).toEqual([]);
});

test('a newer order takes the place of one that soaks, which is undone first', async () => {
  const [second, third] = [await world.family(2), await world.family(3)];
  world.wants.family = orderOf(await world.depot.publish(second), { rollout: 'a', soakMs: 1e6 });
  const agent = await world.start();
  await reaches(agent, 'soaking');
  world.wants.family = orderOf(await world.depot.publish(third), { rollout: 'b' });
  agent.installer.changed();
  await world.until(() => agent.report()?.rollout === 'b' && agent.report()?.state === 'succeeded');
  expect(stepsOf('a').at(-1)).toBe('failed soaking');
  expect(world.events.find(({ rollout, state }) => rollout === 'a' && state === 'failed')?.reason).toMatch(
    /rollout b/,
  );
  expect(agent.host.activated.length).toBe(3);
  expect(agent.host.serving().sha256).toBe(third.sha256);
});

test('an order that is withdrawn while it fetches is cancelled, and what was prepared is released', async () => {
  world.wants.family = orderOf(await world.depot.publish(await world.family(2)));
  const agent = await world.start({
    fetch:
      () =>
      (_, { signal }) =>
        new Promise((_resolve, reject) => signal.addEventListener('abort', () => reject(signal.reason))),
  });
  await reaches(agent, 'fetching');
  delete world.wants.family;
  agent.installer.changed();
  expect(await ended(agent)).toMatchObject({ state: 'failed', reason: expect.stringContaining('withdrawn') });
  expect(agent.host.held()).toBe(0);
});

test('a key that is revoked during the soak takes the family out of service', async () => {
  world.wants.family = orderOf(await world.depot.publish(await world.family(2)), { soakMs: 1e6 });
  const agent = await world.start();
  await reaches(agent, 'soaking');
  const { keyring, publisher } = world.depot.signing;
  world.trust.keyring = { ...keyring, version: 2, publishers: [], revoked: [publisher.publicKey.id] };
  agent.installer.changed();
  expect(await ended(agent)).toMatchObject({ state: 'failed', reason: expect.stringContaining('revoked') });
  expect(agent.host.serving().manifest.version).toBe(1);
});

test('a restart during the soak goes on with what is left of it, and is no death', async () => {
  world.wants.family = orderOf(await world.depot.publish(await world.family(2)), { soakMs: 100_000 });
  const first = await world.start();
  await reaches(first, 'soaking');
  await world.clock.advance(70_000);
  await first.stop();
  const next = await world.start();
  expect(next.family.manifest.version).toBe(2);
  await reaches(next, 'soaking');
  await world.clock.advance(29_000);
  expect(next.report()).toMatchObject({ state: 'in-progress' });
  expect(next.report()).not.toHaveProperty('crashes');
  await world.clock.advance(2_000);
  expect(await ended(next)).toMatchObject({ state: 'succeeded' });
});

test('a family of which the agent dies more than twice is rolled back at the start', async () => {
  world.wants.family = orderOf(await world.depot.publish(await world.family(2)), { soakMs: 1e6 });
  for (const deaths of [0, 1, 2]) {
    const agent = await world.start();
    await reaches(agent, 'soaking');
    expect(agent.host.serving().manifest.version).toBe(2);
    expect(agent.report()?.crashes ?? 0).toBe(deaths);
    await agent.die();
  }
  const agent = await world.start();
  expect(agent.family.manifest.version).toBe(1);
  expect(await ended(agent)).toMatchObject({
    state: 'failed',
    crashes: 3,
    reason: expect.stringContaining('died'),
  });
  expect(stepsOf('r1').at(-1)).toBe('failed soaking');
});

test('a family that takes the process with it while it is profiled is given up after as many deaths', async () => {
  world.wants.family = orderOf(await world.depot.publish(await world.family(2)));
  const stuck = (first: Parameters<typeof fakeHost>[0]) => ({
    ...fakeHost(first),
    prepare: () => new Promise<never>(() => undefined),
  });
  for (let life = 0; life < 3; life += 1) {
    const agent = await world.start({ host: stuck });
    await reaches(agent, 'profiling');
    await agent.die();
  }
  expect(await ended(await world.start({ host: stuck }))).toMatchObject({ state: 'failed', crashes: 3 });
});

test('a family that cannot be prepared fails with the reason, and what ran runs on', async () => {
  world.wants.family = orderOf(await world.depot.publish(await world.family(2)));
  const host = (first: Parameters<typeof fakeHost>[0]) => ({
    ...fakeHost(first),
    prepare: () => Promise.reject(new AppError('invalid', 'level 1: its process crashed with SIGSEGV')),
  });
  const agent = await world.start({ host });
  expect(await ended(agent)).toMatchObject({ state: 'failed', step: 'profiling', reason: /SIGSEGV/ });
  expect(agent.host.serving().manifest.version).toBe(1);
});

test('a step that hangs ends with its time', async () => {
  world.wants.family = orderOf(await world.depot.publish(await world.family(2)), { stepTimeoutMs: 5_000 });
  const host = (first: Parameters<typeof fakeHost>[0]) => ({
    ...fakeHost(first),
    prepare: () => new Promise<never>(() => undefined),
  });
  const agent = await world.start({ host });
  await reaches(agent, 'profiling');
  await world.clock.advance(5_001);
  expect(await ended(agent)).toMatchObject({ state: 'failed', reason: 'profiling: not done within 5000 ms' });
});

test('another family in the configured folder takes the place of what a rollout brought', async () => {
  const { agent, family } = await commit(2);
  await agent.stop();
  await tinyFamily(world.source, 7);
  const next = await world.start();
  expect(next.family.manifest.version).toBe(7);
  await next.stop();
  const journal = openInstallJournal((await world.start()).database);
  expect(journal.holdings('family').before?.sha256).toBe(family.sha256);
});

test('a factory folder that is gone changes nothing once a rollout has brought a family', async () => {
  const { agent } = await commit(2);
  await agent.stop();
  await rm(world.source, { recursive: true });
  const next = await world.start();
  expect(next.family.manifest.version).toBe(2);
  expect(next.refused).toBeUndefined();
});

const TOO_MUCH: [name: string, change: object, reason: RegExp][] = [
  ['that has expired', { expiresTs: 1_700_000_000_001, createdTs: 1 }, /expired/],
  ['for a newer agent', { minAgent: '10.0.0' }, /10\.0\.0/],
  ['for other hardware', { hardware: { models: ['Orin'] } }, /Orin/],
];

test.each(TOO_MUCH)('a release %s is rejected before its blobs are fetched', async (_, change, reason) => {
  await world.clock.advance(10);
  world.wants.family = orderOf(await world.depot.publish(await world.family(2), 'full', change));
  const agent = await world.start();
  expect(await ended(agent)).toMatchObject({ state: 'rejected', step: 'fetching', reason });
  expect(world.depot.fetched).toHaveLength(1);
});

test('a version below the highest that was committed is rejected, also after going back', async () => {
  const old = await world.depot.publish(await world.family(2));
  const { agent, order } = await commit(3);
  world.wants.family = { ...order, rollout: 'undo', deed: 'revert' };
  agent.installer.changed();
  await world.until(() => agent.report()?.rollout === 'undo' && agent.report()?.state === 'succeeded');
  world.wants.family = orderOf(old, { rollout: 'old' });
  agent.installer.changed();
  await world.until(() => agent.report()?.rollout === 'old');
  expect(await ended(agent)).toMatchObject({ state: 'rejected' });
});

test('without a keyring an order waits a moment for one, is rejected, and tried again when one has come', async () => {
  const { keyring } = world.trust;
  world.trust.keyring = undefined;
  world.wants.family = orderOf(await world.depot.publish(await world.family(2)));
  const agent = await world.start();
  await reaches(agent, 'fetching');
  await world.clock.advance(6_000);
  expect(await ended(agent)).toMatchObject({ state: 'rejected', reason: /keyring/ });
  world.trust.keyring = keyring;
  agent.installer.changed();
  await world.until(() => agent.report()?.state === 'succeeded');
});

test('without space an order is rejected with figures, and tried again only when there is more', async () => {
  world.wants.family = orderOf(await world.depot.publish(await world.family(2)));
  let freeBytes = 1e6;
  const agent = await world.start({ freeBytes: () => freeBytes });
  expect(await ended(agent)).toMatchObject({ state: 'rejected', reason: /no space: it takes .* MiB/ });
  const told = world.events.length;
  freeBytes = 1_000_001;
  await world.clock.advance(120_000);
  expect(world.events).toHaveLength(told);
  freeBytes = 1e9;
  await world.clock.advance(60_001);
  await world.until(() => agent.report()?.state === 'succeeded');
});

test('whatever stands in the place of an order is told or ignored, and never thrown', async () => {
  const release = await world.depot.publish(await world.family(2));
  const agent = await world.start();
  const order = orderOf(release);
  const spoilt = fc
    .tuple(fc.constantFrom(...Object.keys(order)), fc.jsonValue())
    .map(([key, value]) => ({ ...order, deed: 'revert', [key]: value }));
  await fc.assert(
    fc.asyncProperty(fc.oneof(fc.jsonValue(), spoilt), async (value) => {
      world.wants.family = value;
      world.wants.program = value;
      agent.installer.changed();
      await world.clock.advance(1);
      expect(agent.host.serving().manifest.version).toBe(1);
    }),
    { numRuns: 60 },
  );
  world.wants.family = { ...order, soakMs: -1 };
  agent.installer.changed();
  await world.until(() => agent.report()?.reason?.includes('/soakMs') === true);
  expect(agent.report()).toMatchObject({ state: 'rejected', rollout: 'r1' });
});

test('an order of a program is rejected where no launcher started the agent', async () => {
  world.wants.program = orderOf(await world.depot.publish(await world.family(2)));
  const agent = await world.start();
  await world.until(() => agent.installer.report().program?.state === 'rejected');
  expect(agent.installer.report().program?.reason).toBe('this agent was not started by ofa-agent launch');
});
