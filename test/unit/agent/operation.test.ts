import { expect, test } from 'vitest';
import { createOperation } from '../../../agent/operation/operation.ts';
import { createSensing } from '../../../agent/operation/sensing.ts';
import type { ProfileInfo, Profiler } from '../../../agent/profile/profiler.ts';
import type { SensorReading } from '../../../agent/sensors/reading.ts';
import { AppError } from '../../../shared/errors.ts';
import type { EventBody } from '../../../shared/protocol/event.ts';
import { keptLog } from '../../support/agent.ts';
import { manualClock } from '../../support/clock.ts';
import { fakeEngine, NO_READING, silentListener, TWO_LEVELS } from '../../support/operation.ts';

const HASH = 'a'.repeat(64);

function infoOf(powerMode: string): ProfileInfo {
  const machine = { deviceModel: 'test', powerMode, clocks: 'fixed' };
  return {
    key: 'k',
    facts: { machine, runtime: '1', elements: [], levels: [HASH, HASH] },
    source: 'stored',
    measuredTs: 1,
    points: TWO_LEVELS.map(({ pe, level, latencyMs }) => ({
      pe,
      level,
      sha256: HASH,
      threads: 1,
      latency: { medianMs: latencyMs, p95Ms: latencyMs, madMs: 0, runs: 20 },
      memoryBytes: 1_000,
    })),
  };
}

/** Two levels in operation on a machine that a test owns; ten frames a second. */
function operating() {
  const clock = manualClock();
  const engine = fakeEngine(clock);
  const events: EventBody[] = [];
  const told: string[] = [];
  const stop = new AbortController();
  const world: { reading: Partial<SensorReading>; adopted: number; measuredMs: number[] } = {
    reading: {},
    adopted: 0,
    measuredMs: [],
  };
  const profiler: Profiler = {
    profile: () => TWO_LEVELS,
    info: () => infoOf('15W'),
    adopt: async () => {
      world.adopted += 1;
      return true;
    },
    remeasure: async (idle, signal) => {
      for (;;) {
        await clock.sleep(7, signal);
        if (!idle(10)) continue;
        world.measuredMs.push(clock.monoMs());
        await engine.run(0, new Uint8Array());
      }
    },
  };
  const operation = createOperation({
    serving: {
      engine,
      profiler,
      profile: TWO_LEVELS,
      points: [],
      frames: {
        next: async () => ({ name: 'frame', pixels: new Uint8Array(4) }),
      },
      family: {
        manifest: {
          levels: TWO_LEVELS.map(({ accuracy }) => ({
            model: { sha256: HASH, bytes: 1 },
            accuracy,
            macs: 1,
          })),
        },
      },
    },
    config: {
      manager: { policy: 'ofa' },
      energy: { idleW: null, activeW: null },
      audit: { share: 0 },
      sensors: { root: '/', periodMs: 1_000 },
      engine: { memoryBytes: null },
    },
    clock,
    random: () => 0.5,
    log: keptLog().log,
    requirement: () => ({ latencyMs: 90 }),
    frameRate: () => 10,
    listen: () => ({
      ...silentListener,
      inference: ({ point, latencyMs }) => void told.push(`level ${point.level} in ${latencyMs}`),
      failed: () => void told.push('failed'),
    }),
    event: (body) => void events.push(body),
    onChanged: () => undefined,
    references: { load: () => [], save: () => undefined },
    signal: stop.signal,
  });
  const sensing = createSensing({
    sensors: { sample: async () => ({ ...NO_READING, atMs: clock.monoMs(), ...world.reading }) },
    clock,
    periodMs: 1_000,
    onReading: operation.reading,
  });
  const running = [operation.loop.run(stop.signal), sensing(stop.signal)];
  return {
    clock,
    engine,
    events,
    told,
    world,
    operation,
    stop: async () => {
      stop.abort();
      await clock.advance(1_000);
      await Promise.all([...running, operation.settled()]);
    },
  };
}

test('a level whose runs fail is taken out, told and shown with the reason, and the rest goes on', async () => {
  const { clock, engine, events, told, operation, stop } = operating();
  engine.broken.set('run 1', () => new AppError('system', 'the device is lost'));
  await clock.advance(950);
  expect(told.slice(0, 4)).toEqual(['failed', 'failed', 'failed', 'level 0 in 10']);
  expect(told.slice(4).every((line) => line === 'level 0 in 10')).toBe(true);
  const reason = 'its runs fail: the device is lost';
  expect(events).toEqual([{ kind: 'quarantine', state: 'begins', pe: 'cpu', level: 1, reason }]);
  expect(operation.points()).toMatchObject([
    { level: 0, usable: true },
    { level: 1, usable: false, quarantined: reason },
  ]);
  await stop();
});

test('a measurement runs between frames only and makes none late, and ends with the agent', async () => {
  const { clock, told, world, operation, stop } = operating();
  await clock.advance(250);
  operation.profileKeeper.measure();
  await clock.advance(1_000);
  expect(world.measuredMs.length).toBeGreaterThan(10);
  // A frame takes 20 ms of each 100; a run of 10 ms that began in the last 10 would be in the way of the next.
  expect(world.measuredMs.every((ms) => ms % 100 >= 20 && ms % 100 < 90)).toBe(true);
  expect(new Set(told)).toEqual(new Set(['level 1 in 20']));
  await stop();
  expect(operation.profileKeeper.isMeasuring()).toBe(false);
});

test('another power mode takes the profile that is kept for it, also when it was not known for a while', async () => {
  const { clock, world, stop } = operating();
  for (const powerMode of ['15W', undefined, 'MAXN', undefined, 'MAXN']) {
    world.reading = powerMode === undefined ? {} : { powerMode };
    await clock.advance(1_000);
  }
  expect(world.adopted).toBe(1);
  await stop();
});
