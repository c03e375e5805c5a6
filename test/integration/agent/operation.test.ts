import { cp } from 'node:fs/promises';
import { join } from 'node:path';
import { afterAll, beforeAll, expect, test } from 'vitest';
import type { Agent } from '../../../agent/agent.ts';
import { openQuarantine } from '../../../agent/quarantine/quarantine.ts';
import { openAgentDatabase } from '../../../agent/store/database.ts';
import { systemClock } from '../../../shared/clock.ts';
import { writeAtomic } from '../../../shared/files.ts';
import { onnxRuntimeVersion } from '../../../shared/onnx.ts';
import { type StateFolder, startBroker, stateFolder } from '../../support/agent.ts';
import {
  type AgentChange,
  ask,
  connectController,
  eventually,
  runAgent,
  statusOf,
} from '../../support/agent-run.ts';
import { bundledFamily } from '../../support/bundled.ts';
import { plant, proc, type Tree, thermalZones, under } from '../../support/sysfs.ts';

/** Nothing listens there. */
const NOWHERE = 'mqtt://127.0.0.1:1';
/** Of every point, as this machine has measured it at the first start. */
interface Point {
  readonly pe: string;
  readonly level: number;
  readonly threads: number;
  readonly memoryBytes?: number;
  readonly latency: { readonly medianMs: number };
}

interface Status {
  readonly operatingPoint?: { readonly pe: string; readonly level: number };
  readonly operatingPoints: readonly {
    readonly pe: string;
    readonly level: number;
    readonly usable: boolean;
    readonly energyQuality?: string;
    readonly quarantined?: string;
  }[];
  readonly sensors: readonly { readonly name: string; readonly state: string }[];
  readonly profile: { readonly state: string };
}

let started: StateFolder;
let points: readonly Point[];
let top: number;

/** A family is qualified, optimised and profiled once; the tests start from there. */
beforeAll(async () => {
  started = await stateFolder();
  await using _agent = await runAgent(started.path, NOWHERE);
  const profile = (await ask(started.path, { kind: 'profile', action: 'show' })) as {
    data: { points: Point[] };
  };
  points = profile.data.points;
  top = (await bundledFamily()).manifest.levels.length - 1;
}, 60_000);

afterAll(() => started[Symbol.asyncDispose]());

/** A device that has run before. */
async function deviceOf(): Promise<
  StateFolder & { run(change: AgentChange, brokerUrl?: string): Promise<Agent> }
> {
  const folder = await stateFolder();
  await cp(started.path, folder.path, {
    recursive: true,
    filter: (path) => !path.endsWith('.sock'),
  });
  return { ...folder, run: (change, url = NOWHERE) => runAgent(folder.path, url, change) };
}

async function read(folder: StateFolder): Promise<Status> {
  return (await statusOf(folder.path)) as Status;
}

/** The fastest points by their profile, as far as a busy machine could tell them apart. */
function isFast(level: number | undefined): boolean {
  const latencies = points.map(({ latency }) => latency.medianMs);
  return (latencies[level ?? -1] ?? Number.POSITIVE_INFINITY) <= 1.5 * Math.min(...latencies);
}

const levelOf = async (folder: StateFolder): Promise<number | undefined> =>
  (await read(folder)).operatingPoint?.level;

test('both processing elements serve, and a running agent tells what it measured of each inference', async () => {
  await using device = await deviceOf();
  const flags = {
    'engine.elements': 'cpu,gpu',
    'engine.gpuProviders': 'cpu',
    'requirement.latencyMs': '10s',
    'frames.rate': '50Hz',
  };
  await using _agent = await device.run({ flags });
  const { operatingPoints } = await read(device);
  expect(operatingPoints.map(({ pe, level }) => [pe, level])).toEqual(
    ['cpu', 'gpu'].flatMap((pe) => points.map(({ level }) => [pe, level])),
  );
  expect(operatingPoints.every(({ usable }) => usable)).toBe(true);
  await eventually(async () => expect((await read(device)).operatingPoint).toBeDefined());
  const inferences = await eventually(async () => {
    const answer = (await ask(device.path, { kind: 'inferences' })) as { inferences: unknown[] };
    expect(answer.inferences.length).toBeGreaterThan(5);
    return answer.inferences;
  });
  expect(inferences[0]).toMatchObject({ pe: expect.stringMatching(/cpu|gpu/), level: top, budgetMs: 10_000 });
});

/** A machine whose processors are busy or idle, as its files say, until it is disposed of. */
async function machineOf(root: string, busy: () => boolean): Promise<AsyncDisposable> {
  const ticks = { busy: 0, idle: 0 };
  const files = (): Tree => proc(ticks.busy, ticks.idle);
  await plant(root, files());
  const stop = new AbortController();
  const pass = async (): Promise<void> => {
    while (!stop.signal.aborted) {
      ticks[busy() ? 'busy' : 'idle'] += 10;
      await writeAtomic(join(root, 'proc/stat'), files()['proc/stat'] ?? '');
      await systemClock.sleep(20);
    }
  };
  const passing = pass();
  return {
    [Symbol.asyncDispose]: async () => {
      stop.abort();
      await passing;
    },
  };
}

const zones = (milliC: string) => under('sys', thermalZones([['cpu-thermal', milliC]]));

test('heat and power move it to what costs least, and back; a sensor that says nonsense does not', async () => {
  await using device = await deviceOf();
  const root = join(device.path, 'root');
  let isBusy = false;
  await using _machine = await machineOf(root, () => isBusy);
  await plant(root, zones('50000'));
  const flags = {
    'sensors.root': root,
    'sensors.periodMs': '50ms',
    'energy.idleW': '2W',
    'energy.activeW': '5W',
    'requirement.powerW': '4W',
    'requirement.tempC': '80C',
  };
  await using _agent = await device.run({ flags });
  const isAtTop = async () => expect(await levelOf(device)).toBe(top);
  const isThrifty = async () => expect(await levelOf(device)).toSatisfy(isFast);
  await eventually(isAtTop);
  expect((await read(device)).operatingPoints.map(({ energyQuality }) => energyQuality)).toEqual(
    points.map(() => 'modelled'),
  );
  isBusy = true;
  await eventually(isThrifty);
  isBusy = false;
  await eventually(isAtTop);

  await plant(root, zones('NaN'));
  const healthOf = async () => (await read(device)).sensors.filter(({ state }) => state !== 'ok');
  await eventually(async () =>
    expect(await healthOf()).toContainEqual(
      expect.objectContaining({ name: expect.stringContaining('temperature') }),
    ),
  );
  await isAtTop();
  await plant(root, zones('90000'));
  await eventually(isThrifty);
});

/** Puts figures in the place of those that a device has measured. */
function keepProfile(device: StateFolder, figures: readonly Point[]): void {
  const database = openAgentDatabase(device.path);
  database.prepare('UPDATE profiles SET points = ?').run(JSON.stringify(figures));
  database.close();
}

test('within a memory budget the neighbours of the level in use are loaded, it climbs to the top, and no frame is lost', async () => {
  await using device = await deviceOf();
  await using broker = await startBroker();
  await using controller = await connectController(broker.url);
  // As measured they differ from start to start.
  const costOf = (level: number): number => (level + 1) * 2 ** 20;
  keepProfile(
    device,
    points.map((point) => ({ ...point, memoryBytes: costOf(point.level) })),
  );
  // Two of the heaviest, or four of the lightest with room to spare.
  const budget = costOf(top) + costOf(top - 1);
  const flags = { 'engine.memoryBytes': `${budget}B`, 'frames.rate': '50Hz' };
  await using _agent = await device.run({ flags }, broker.url);
  const usable = async () => (await read(device)).operatingPoints.filter((point) => point.usable);
  expect((await usable()).map(({ level }) => level)).not.toContain(top);
  await eventually(async () => expect(await levelOf(device)).toBe(top));
  const bytesOf = (loaded: readonly { readonly level: number }[]): number =>
    loaded.reduce((sum, { level }) => sum + costOf(level), 0);
  expect(bytesOf(await usable())).toBeLessThanOrEqual(budget);
  // To measure all levels others are loaded for a moment, and given up again.
  await ask(device.path, { kind: 'profile', action: 'measure' });
  await eventually(async () => expect((await read(device)).profile.state).toBe('measured'));
  await eventually(async () => expect(bytesOf(await usable())).toBeLessThanOrEqual(budget));
  expect(await levelOf(device)).toBe(top);
  const bodies = controller.windows.map(({ body }) => body);
  expect(bodies.reduce((sum, { failed, sheds = 0 }) => sum + failed + sheds, 0)).toBe(0);
  await controller.acknowledgeAll();
});

test('a level in quarantine is shown with its reason and never chosen, and the rest goes on', async () => {
  await using device = await deviceOf();
  {
    const { levels } = (await bundledFamily()).manifest;
    const database = openAgentDatabase(device.path);
    const quarantine = openQuarantine({ database, now: () => 1, runtime: onnxRuntimeVersion() });
    quarantine.put({ sha256: levels[top]?.model.sha256 ?? '', providers: ['cpu'] }, 'it crashed twice');
    database.close();
  }
  await using _agent = await device.run({});
  await eventually(async () => expect(await levelOf(device)).toBe(top - 1));
  const { operatingPoints } = await read(device);
  expect(operatingPoints.filter(({ usable }) => usable).map(({ level }) => level)).not.toContain(top);
  expect(operatingPoints.find(({ level }) => level === top)).toMatchObject({
    usable: false,
    quarantined: 'it crashed twice',
  });
});

test('a profile is measured anew while frames are served, and a stop ends such a measurement', async () => {
  await using device = await deviceOf();
  await using agent = await device.run({});
  const measure = () => ask(device.path, { kind: 'profile', action: 'measure' });
  const stateOf = async () => (await read(device)).profile.state;
  expect(await stateOf()).toBe('kept');
  expect(await measure()).toMatchObject({ data: { measuring: true } });
  expect(await stateOf()).toBe('measuring');
  await eventually(async () => expect(await stateOf()).toBe('measured'));
  expect(await measure()).toMatchObject({ data: { measuring: true } });
  const beginMs = performance.now();
  await agent[Symbol.asyncDispose]();
  expect(performance.now() - beginMs).toBeLessThan(2_000);
});
