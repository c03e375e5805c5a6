import { mkdir, readdir, readFile, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { afterEach, beforeEach, expect, test, vi } from 'vitest';
import { within } from '../../../agent/install/within.ts';
import type { ProgramHost } from '../../../agent/slots/program-host.ts';
import { openAgentDatabase } from '../../../agent/store/database.ts';
import { makeFamilyFolder } from '../../../agent/store/family-folder.ts';
import { AppError } from '../../../shared/errors.ts';
import type { Family } from '../../../shared/family/read.ts';
import type { Order } from '../../../shared/protocol/release.ts';
import { programRelease } from '../../../shared/release/build.ts';
import { hashBlob } from '../../../shared/release/hash-blob.ts';
import { START_TS } from '../../support/agent.ts';
import { manualClock } from '../../support/clock.ts';
import {
  type FakeHost,
  fakeHost,
  type InstallProcess,
  type InstallWorld,
  installWorld,
  orderOf,
} from '../../support/install.ts';

let world: InstallWorld;

beforeEach(async () => {
  world = await installWorld();
});

afterEach(async () => {
  await world[Symbol.asyncDispose]();
});

const until = (agent: InstallProcess, state: string, rollout = 'r1'): Promise<void> =>
  world.until(() => agent.report()?.rollout === rollout && agent.report()?.state === state);

/** A launcher that does nothing; a program's file is looked at when it is staged. */
function programHost(onStage: (path: string) => Promise<void> = async () => undefined): ProgramHost {
  return {
    ...{ running: undefined, previous: undefined, takeVerdict: () => undefined },
    stage: ({ path }) => onStage(path),
    switchTo: (_, { signal }) =>
      new Promise((_resolve, reject) => {
        signal?.addEventListener('abort', () => reject(signal.reason));
      }),
    commit: async () => undefined,
    collect: async () => undefined,
  };
}

async function orderProgram(content: string): Promise<{ order: Order; blob: string }> {
  const path = join(world.path, 'program.tgz');
  await writeFile(path, content);
  const file = { role: 'program' as const, path, ...(await hashBlob(path)) };
  await world.depot.keep(path, file.sha256);
  const times = { createdTs: START_TS, expiresTs: START_TS + 1e10 };
  const program = { version: '0.2.0', minNode: 24 };
  const manifest = programRelease(file, { name: 'agent', version: 2, ...times, program });
  return { order: orderOf(await world.depot.sign(manifest), { rollout: 'p1' }), blob: file.sha256 };
}

/** Puts something else, of the same size, where a blob lies. */
async function spoil(sha256: string): Promise<void> {
  const { length } = await world.depot.read(sha256);
  await mkdir(join(world.stateDir, 'blobs'), { recursive: true });
  await writeFile(join(world.stateDir, 'blobs', sha256), Buffer.alloc(length, '!'));
}

test('a program is only unpacked from the bytes that were signed, whatever lies in the store', async () => {
  const { order, blob } = await orderProgram('the program that was signed');
  await spoil(blob);
  world.wants.program = order;
  const staged: string[] = [];
  const onStage = async (path: string) => void staged.push(await readFile(path, 'utf8'));
  const agent = await world.start({ programs: programHost(onStage) });
  await world.until(() => agent.installer.report().program?.step === 'activating');
  expect(staged).toEqual(['the program that was signed']);
});

test.each([['signed manifest'], ['family.json']])('a %s that has gone bad is fetched anew', async (what) => {
  const family = await world.family(2);
  const release = await world.depot.publish(family);
  await spoil(what === 'family.json' ? family.sha256 : release.manifest.sha256);
  world.wants.family = orderOf(release);
  await until(await world.start(), 'succeeded');
});

test('a file of a family here that cannot be read does not keep another family away', async () => {
  const family = await world.family(2);
  const model = family.manifest.levels[1]?.model.sha256;
  const release = await world.depot.publish(family);
  const agent = await world.start();
  await mkdir(join(world.stateDir, 'families', 'odd', 'blobs', `${model}.onnx`), { recursive: true });
  world.wants.family = orderOf(release);
  agent.installer.changed();
  await until(agent, 'succeeded');
});

test('a family of which the agent dies while it is put together is given up after as many deaths', async () => {
  world.wants.family = orderOf(await world.depot.publish(await world.family(2)));
  for (let life = 0; life < 3; life += 1) {
    const agent = await world.start();
    await world.until(() => agent.report()?.step === 'staging');
    await agent.die();
  }
  const agent = await world.start();
  await until(agent, 'failed');
  expect(agent.report()).toMatchObject({ step: 'staging', crashes: 3 });
});

test('a family is gone back from at once, though the blobs of a program are still on their way', async () => {
  const order = orderOf(await world.depot.publish(await world.family(2)), { soakMs: 10_000 });
  world.wants.family = order;
  const { order: program, blob } = await orderProgram('a large program');
  const hanging = Promise.withResolvers<void>();
  const agent = await world.start({
    programs: programHost(),
    fetch: (fetch) => (refs, options) => {
      if (!refs.some(({ sha256 }) => sha256 === blob)) return fetch(refs, options);
      hanging.resolve();
      return new Promise((_, reject) => {
        options.signal.addEventListener('abort', () => reject(options.signal.reason));
      });
    },
  });
  await world.until(() => agent.report()?.step === 'soaking');
  world.wants.program = program;
  agent.installer.changed();
  await hanging.promise;
  await world.clock.advance(10_001);
  await until(agent, 'succeeded');
  world.wants.family = { ...order, rollout: 'undo', deed: 'revert' };
  agent.installer.changed();
  await vi.waitFor(() => expect(agent.report()).toMatchObject({ rollout: 'undo', state: 'succeeded' }));
  expect(agent.host.serving().manifest.version).toBe(1);
});

test('an order that is withdrawn while the one before it is undone is not carried out', async () => {
  const [second, third] = [await world.family(2), await world.family(3)];
  world.wants.family = orderOf(await world.depot.publish(second), { rollout: 'a', soakMs: 1e6 });
  const first = await world.start();
  await world.until(() => first.report()?.step === 'soaking');
  await first.stop();
  world.wants.family = orderOf(await world.depot.publish(third), { rollout: 'b' });
  const agent = await world.start({
    freeBytes: () => {
      delete world.wants.family;
      return 1e12;
    },
  });
  await until(agent, 'failed', 'a');
  agent.installer.changed();
  await world.clock.advance(1_000);
  expect(world.events.filter(({ rollout }) => rollout === 'b')).toEqual([]);
  await agent.stop();
  expect((await world.start()).family.manifest.version).toBe(1);
});

test('what waits for its proof does not wear the disk', async () => {
  const { order, blob } = await orderProgram('a program');
  world.wants.program = { ...order, soakMs: 40_000, stepTimeoutMs: 3_600_000 };
  const first = await world.start({ programs: programHost() });
  await world.until(() => first.installer.report().program?.step === 'activating');
  await first.stop();
  const next = await world.start({
    programs: { ...programHost(), running: blob },
    deps: { isProven: () => false },
  });
  await world.until(() => next.installer.report().program?.step === 'soaking');
  await world.clock.advance(41_000);
  const writes = () => Number(next.database.prepare('SELECT total_changes()').pluck().get());
  const before = writes();
  await world.clock.advance(200_000);
  expect(writes() - before).toBeLessThan(10);
});

test('a family that cannot be put together leaves nothing behind', async () => {
  const family = await world.family(2);
  const full = new AppError('system', 'no space left on the disk');
  const making = makeFamilyFolder({
    ...{ stateDir: world.stateDir, sha256: family.sha256, manifestBytes: family.manifestBytes },
    fill: async (folder) => {
      await writeFile(join(folder, 'blobs', 'half'), 'half a model');
      throw full;
    },
  });
  await expect(making).rejects.toBe(full);
  expect(await readdir(join(world.stateDir, 'families'))).toEqual([]);
});

test('what was made too late and cannot be released harms nobody', async () => {
  const clock = manualClock();
  const late = Promise.withResolvers<AsyncDisposable>();
  const { signal } = new AbortController();
  const waiting = within({ ms: 10, what: 'it', clock, signal }, () => late.promise);
  const failed = expect(waiting).rejects.toThrow('not done within 10 ms');
  await clock.advance(11);
  await failed;
  late.resolve({ [Symbol.asyncDispose]: () => Promise.reject(new Error('a thread hangs')) });
  await clock.advance(1);
});

test('a bound of a month is not over at once', async () => {
  const asked: number[] = [];
  const clock = { ...manualClock(), sleep: async (ms: number) => void asked.push(ms) };
  const { signal } = new AbortController();
  await within({ ms: 30 * 86_400_000, what: 'it', clock, signal }, async () => undefined);
  expect(Math.max(...asked)).toBeLessThan(2 ** 31);
});

test('what orders that failed have left is removed before more is fetched', async () => {
  const broken = await world.family(2);
  world.wants.family = orderOf(await world.depot.publish(broken));
  const agent = await world.start({
    host: (first) => ({
      ...fakeHost(first),
      prepare: () => Promise.reject(new AppError('invalid', 'unfit')),
    }),
  });
  await until(agent, 'failed');
  world.wants.family = orderOf(await world.depot.publish(await world.family(3)), { rollout: 'next' });
  agent.installer.changed();
  await until(agent, 'failed', 'next');
  const model = broken.manifest.levels[1]?.model.sha256;
  expect(await readdir(join(world.stateDir, 'blobs'))).not.toContain(model);
});

test('an order that this version cannot read does not make the next one fail', async () => {
  world.wants.family = orderOf(await world.depot.publish(await world.family(2)), { soakMs: 1e6 });
  const newer = await world.start();
  await world.until(() => newer.report()?.step === 'soaking');
  await newer.stop();
  const database = openAgentDatabase(world.stateDir);
  database.prepare(`UPDATE install_orders SET body = '{"of":"a newer version"}'`).run();
  database.close();
  world.wants.family = orderOf(await world.depot.publish(await world.family(3)), { rollout: 'next' });
  const agent = await world.start();
  await until(agent, 'succeeded', 'next');
  expect(agent.host.serving().manifest.version).toBe(3);
});

test('a family that could not be taken out of service is said to serve, and has no trial less for it', async () => {
  const release = await world.depot.publish(await world.family(2));
  world.wants.family = orderOf(release, { soakMs: 1e6 });
  let isBroken = false;
  const host = (first: Family): FakeHost => {
    const fake = fakeHost(first);
    const unfit = () => Promise.reject(new AppError('system', 'no memory'));
    return { ...fake, prepare: (family, signal) => (isBroken ? unfit() : fake.prepare(family, signal)) };
  };
  const agent = await world.start({ host });
  await world.until(() => agent.report()?.step === 'soaking');
  isBroken = true;
  delete world.wants.family;
  agent.installer.changed();
  await vi.waitFor(async () => {
    await world.clock.advance(5_000);
    expect(agent.report()?.state).toBe('failed');
  });
  expect(agent.report()?.reason).toMatch(/serves until the next start.* no memory.* withdrawn/);
  isBroken = false;
  world.wants.family = orderOf(release, { rollout: 'again', soakMs: 60_000 });
  agent.installer.changed();
  await world.until(() => agent.report()?.rollout === 'again' && agent.report()?.step !== 'fetching');
  await vi.waitFor(() => expect(agent.report()).toMatchObject({ state: 'in-progress', step: 'soaking' }));
});
