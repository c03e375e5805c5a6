import { fork } from 'node:child_process';
import { once } from 'node:events';
import { existsSync } from 'node:fs';
import { readdir, readFile } from 'node:fs/promises';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { afterAll, beforeAll, expect, test, vi } from 'vitest';
import { systemClock } from '../../../shared/clock.ts';
import { type Family, readFamily } from '../../../shared/family/read.ts';
import { stateFolder } from '../../support/agent.ts';
import { childTrials } from '../../support/child-trials.ts';
import { type TestLevel, writeFamily } from '../../support/engine-family.ts';
import {
  type Answer,
  familyOfLevels,
  gapsIn,
  type HostedDevice,
  hostedDevice,
} from '../../support/family-host.ts';
import { temporaryFolder } from '../../support/temp.ts';

const NEVER = new AbortController().signal;

let folder: Awaited<ReturnType<typeof temporaryFolder>>;
/** One level; two levels of which neither is that one; and one with other labels, so that it reads the frames itself. */
let families: readonly [Family, Family, Family];

beforeAll(async () => {
  folder = await temporaryFolder();
  const make = (name: string) => join(folder.path, name);
  const first = await familyOfLevels(make('first'), [0]);
  const labels = first.manifest.labels.map((label) => `another ${label}`);
  families = [
    first,
    await familyOfLevels(make('second'), [1, 4], { version: 2 }),
    await familyOfLevels(make('third'), [2], { version: 3, labels }),
  ];
});

afterAll(() => folder[Symbol.asyncDispose]());

async function isServing(device: HostedDevice, { sha256 }: Family, frames = 5): Promise<void> {
  const before = device.answers.length;
  await vi.waitUntil(() => device.answers.length >= before + frames, { timeout: 10_000, interval: 10 });
  expect(device.answers.slice(before).every(({ family }) => family === sha256)).toBe(true);
}

const threads = async (): Promise<number> => (await readdir('/proc/self/task')).length;

/** Kinds of memory of this process that a leak would be in, bytes. */
async function residentBytes(): Promise<number> {
  const status = await readFile('/proc/self/status', 'utf8');
  return Number(/RssAnon:\s+(\d+) kB/.exec(status)?.[1] ?? 0) * 1_024;
}

function levelsOf(answers: readonly Answer[], { sha256 }: Family): Set<number> {
  return new Set(answers.flatMap(({ family, level }) => (family === sha256 ? [level] : [])));
}

test('families take turns five times at 50 frames a second: no frame is lost or mixed up, and what they held is given back', async () => {
  const [first, second, third] = families;
  await using device = await hostedDevice({ family: first.folder });
  const { host, answers, windows } = device;
  await isServing(device, first);
  const before = { threads: await threads(), bytes: 0 };
  for (const [turn, family] of [second, third, first, second, first].entries()) {
    await using prepared = await host.prepare(family, NEVER);
    await prepared.activate();
    expect(host.serving().sha256).toBe(family.sha256);
    await isServing(device, family);
    if (turn === 2) before.bytes = await residentBytes();
  }
  expect(device.lost).toEqual([]);
  expect(gapsIn(answers)).toEqual([]);
  // The last one that left is given back in the background.
  await vi.waitFor(async () => expect(await threads()).toBeLessThanOrEqual(before.threads), {
    timeout: 5_000,
  });
  expect((await residentBytes()) - before.bytes).toBeLessThan(64 * 2 ** 20);
  await device[Symbol.asyncDispose]();

  for (const family of families) {
    const ofFamily = windows.filter((window) => window.family === family.sha256);
    const points = ofFamily.flatMap((window) => window.points);
    const answered = answers.filter((answer) => answer.family === family.sha256);
    expect(points.reduce((sum, point) => sum + point.inferences, 0)).toBe(answered.length);
    expect(new Set(points.map(({ level }) => level))).toEqual(levelsOf(answers, family));
  }
}, 60_000);

test('two families are compared on the frames that come, and the one that is not taken is given back', async () => {
  const [first, second, third] = families;
  await using device = await hostedDevice({ family: first.folder });
  const { host } = device;
  const before = await threads();
  {
    await using prepared = await host.prepare(second, NEVER);
    await expect(host.prepare(third, NEVER)).rejects.toMatchObject({ code: 'conflict' });
    const options = { frames: 10, withinMs: 5_000, signal: NEVER };
    const costs = await prepared.costs(NEVER);
    expect(Math.min(costs?.latencyMs ?? 0, costs?.beforeMs ?? 0)).toBeGreaterThan(0);
    await expect(prepared.costs(AbortSignal.abort())).rejects.toThrow();
    const agreement = await prepared.compare(options);
    expect(agreement).toMatchObject({
      frames: 10,
      share: expect.toSatisfy((share) => share >= 0 && share <= 1),
    });
    expect(await prepared.compare({ ...options, withinMs: 0 })).toBeUndefined();
    await expect(prepared.compare({ ...options, signal: AbortSignal.abort() })).rejects.toThrow();
    await prepared[Symbol.asyncDispose]();
    await expect(prepared.activate()).rejects.toMatchObject({ code: 'conflict' });
  }
  expect(await threads()).toBeLessThanOrEqual(before);
  {
    await using prepared = await host.prepare(third, NEVER);
    expect(await prepared.compare({ frames: 1, withinMs: 1_000, signal: NEVER })).toBeUndefined();
  }
  await isServing(device, first);
  expect(device.lost).toEqual([]);
}, 30_000);

async function badFamily(name: string, levels: readonly TestLevel[]): Promise<Family> {
  const path = join(folder.path, name);
  await writeFamily(path, levels);
  return await readFamily(path);
}

test('a family that is no model, lies about its output or crashes is refused, a stop ends its making, and the old one serves on', async () => {
  const [first, second] = families;
  await using device = await hostedDevice({ family: first.folder });
  const { host } = device;
  const refused = async (family: Family, reason: RegExp): Promise<void> => {
    await expect(host.prepare(family, NEVER)).rejects.toMatchObject({
      code: 'invalid',
      message: expect.stringMatching(reason),
    });
    await isServing(device, first);
  };
  await refused(await badFamily('garbage', ['broken']), /cannot be loaded/);
  await refused(await badFamily('liar', [{ classes: 4 }]), /level 0/);
  const crashing = await badFamily('crashing', [{ work: 20_000 }]);
  const refusing = refused(crashing, /crashed with SIGSEGV/);
  const pids = await vi.waitUntil(async () => {
    const found = await childTrials();
    return found.length > 0 && found;
  });
  for (const pid of pids) process.kill(pid, 'SIGSEGV');
  await refusing;
  // It is known from now on.
  await refused(crashing, /every level is quarantined/);

  const stop = new AbortController();
  const given = host.prepare(second, stop.signal);
  await systemClock.sleep(200);
  stop.abort(new Error('another order'));
  await expect(given).rejects.toThrow('another order');
  await isServing(device, first);
  await using prepared = await host.prepare(second, NEVER);
  await prepared.activate();
  await isServing(device, second);
  expect(device.lost).toEqual([]);
  expect(gapsIn(device.answers)).toEqual([]);
}, 60_000);

/** Whether the process of a state folder has two engines. */
const hasTwoEngines = (stateDir: string): boolean => existsSync(join(stateDir, 'in-flight-2'));

test('killed while it makes a family ready, a device blames no level, and serves both afterwards', async () => {
  const [first, second] = families;
  await using state = await stateFolder();
  const program = fileURLToPath(new URL('../../support/prepare-killed.ts', import.meta.url));
  {
    const child = fork(program, [state.path, first.folder, second.folder], { stdio: 'ignore' });
    const ended = once(child, 'exit');
    await once(child, 'message');
    await vi.waitUntil(() => hasTwoEngines(state.path), { timeout: 20_000, interval: 1 });
    await systemClock.sleep(30);
    child.kill('SIGKILL');
    await ended;
  }
  await using device = await hostedDevice({ family: first.folder, state });
  const { quarantine } = device;
  expect(quarantine.list()).toEqual([]);
  await isServing(device, first);
  await using prepared = await device.host.prepare(second, NEVER);
  await prepared.activate();
  await isServing(device, second);
  expect(quarantine.list()).toEqual([]);
}, 60_000);
