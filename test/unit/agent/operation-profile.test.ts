import { describe, expect, test } from 'vitest';
import { createProfileKeeper, type ProfileKeeper } from '../../../agent/operation/profile-keeper.ts';
import type { ProfileInfo, Profiler } from '../../../agent/profile/profiler.ts';
import type { Profile } from '../../../agent/runtime/points.ts';
import { AppError } from '../../../shared/errors.ts';
import { type ManualClock, manualClock } from '../../support/clock.ts';
import { TWO_LEVELS } from '../../support/operation.ts';

const HASH = 'a'.repeat(64);

function infoOf(powerMode: string): ProfileInfo {
  const points = TWO_LEVELS.map(({ pe, level, latencyMs }) => ({
    pe,
    level,
    sha256: HASH,
    threads: 1 + level,
    latency: { medianMs: latencyMs, p95Ms: latencyMs * 1.1, madMs: 0.1, runs: 20 },
  }));
  const machine = { deviceModel: 'test', powerMode, clocks: 'fixed' };
  const facts = { machine, runtime: '1', elements: [], levels: [HASH] };
  return { key: 'k', facts, source: 'stored', measuredTs: 7, points };
}

/** A profiler that asks for idle time once in 20 ms until it got it for every point, as the real one does. */
function fakeProfiler(clock: ManualClock) {
  const done: string[] = [];
  const world = { adopts: false, fails: undefined as Error | undefined, profile: TWO_LEVELS as Profile };
  let info = infoOf('15W');
  const runs = async (idle: (ms: number) => boolean, signal: AbortSignal): Promise<void> => {
    for (let run = 0; run < 2; ) {
      await clock.sleep(20, signal);
      if (!idle(10)) continue;
      await clock.sleep(10);
      if (idle(0)) run += 1;
    }
  };
  const profiler: Profiler = {
    profile: () => world.profile,
    info: () => info,
    adopt: async () => {
      done.push('adopt');
      if (world.adopts) info = infoOf('MAXN');
      return world.adopts;
    },
    remeasure: async (idle, signal) => {
      done.push('begin');
      await runs(idle, signal);
      if (world.fails !== undefined) throw world.fails;
      info = { ...info, source: 'measured' };
      done.push('end');
      return info;
    },
  };
  return { profiler, done, world };
}

function keeping() {
  const clock = manualClock();
  const { profiler, done, world } = fakeProfiler(clock);
  const state = { isIdle: true, isCalm: true };
  const stop = new AbortController();
  const told: string[] = [];
  const keeper = createProfileKeeper({
    profiler,
    clock,
    idle: () => state.isIdle,
    calm: () => state.isCalm,
    signal: stop.signal,
    onStale: ({ point, reason }) => void told.push(`stale ${point?.level ?? 'all'}: ${reason}`),
    onMeasured: (was) => void told.push(`measured, was ${was === undefined ? 'well' : 'stale'}`),
    onFailed: (error) => void told.push(String(error)),
  });
  return { clock, done, world, state, stop, told, keeper };
}

/** Both levels in turn, ten a second, at so many times the profile. */
async function serve(clock: ManualClock, keeper: ProfileKeeper, seconds: number, ratios: number[]) {
  for (let frame = 0; frame < seconds * 10; frame += 1) {
    const index = frame % 2;
    keeper.inference(index, (ratios[index] ?? 1) * (TWO_LEVELS[index]?.latencyMs ?? 0));
    await clock.advance(100);
  }
}

describe('the profile keeper', () => {
  test('has a profile that no longer fits in calm times measured anew, and tells when that is done', async () => {
    const { clock, done, state, told, keeper } = keeping();
    state.isCalm = false;
    await serve(clock, keeper, 200, [2, 2]);
    expect(told).toEqual([]);
    state.isCalm = true;
    state.isIdle = false;
    await serve(clock, keeper, 200, [2, 2]);
    expect(told).toEqual([
      expect.stringMatching(/^stale all: even the quickest .* 2\.00 times its profile$/),
    ]);
    expect(keeper.info()).toMatchObject({ state: 'measuring', stale: expect.stringContaining('2.00') });
    expect(keeper.answer().lines[0]).toMatch(/measured anew/);
    state.isIdle = true;
    await serve(clock, keeper, 5, [1, 1]);
    expect(done).toEqual(['begin', 'end']);
    expect(told.slice(1)).toEqual(['measured, was stale']);
    expect(keeper.info()).toEqual({ state: 'measured', ts: 7, key: expect.any(Object) });
    expect(keeper.answer().lines).toEqual([
      'cpu/0  10.0 ms, p95 11.0 ms, 1 thread',
      'cpu/1  20.0 ms, p95 22.0 ms, 2 threads',
    ]);
  });

  test('names the level that is off from the others', async () => {
    const { clock, told, keeper } = keeping();
    await serve(clock, keeper, 300, [1, 1.6]);
    expect(told[0]).toMatch(/^stale [01]: level [01] on cpu takes .* beside the others$/);
  });

  test('measures when it is told to, once at a time; what fails is told and the profile stays', async () => {
    const { clock, done, world, told, keeper } = keeping();
    world.fails = new AppError('conflict', 'clocks changed');
    keeper.measure();
    keeper.measure();
    expect(keeper.isMeasuring()).toBe(true);
    await clock.advance(1_000);
    expect([done, told, keeper.isMeasuring()]).toEqual([['begin'], ['AppError: clocks changed'], false]);
    world.fails = undefined;
    keeper.measure();
    await clock.advance(1_000);
    expect(done).toEqual(['begin', 'begin', 'end']);
  });

  test('says when a run of a measurement is under way, and how many there were', async () => {
    const { clock, state, keeper } = keeping();
    state.isIdle = false;
    keeper.measure();
    await clock.advance(100);
    expect([keeper.isRunning(), keeper.runs()]).toEqual([false, 0]);
    state.isIdle = true;
    await clock.advance(25);
    expect([keeper.isRunning(), keeper.runs()]).toEqual([true, 1]);
    await clock.advance(10);
    expect([keeper.isRunning(), keeper.runs()]).toEqual([false, 1]);
    await clock.advance(1_000);
    expect([keeper.isRunning(), keeper.runs()]).toEqual([false, 2]);
  });

  test('takes the profile that is kept for another power mode, or measures one, and tries again later if it fails', async () => {
    const { clock, done, world, told, keeper } = keeping();
    keeper.powerMode('15W');
    await clock.advance(1_000);
    expect(done).toEqual([]);
    world.adopts = true;
    keeper.powerMode('MAXN');
    await clock.advance(1_000);
    expect([done, told]).toEqual([['adopt'], ['measured, was well']]);
    world.adopts = false;
    world.fails = new AppError('conflict', 'clocks changed');
    const tellFor = async (seconds: number): Promise<void> => {
      for (let second = 0; second < seconds; second += 1) {
        keeper.powerMode('7W');
        await clock.advance(1_000);
      }
    };
    await tellFor(30);
    expect(done).toEqual(['adopt', 'adopt', 'begin']);
    world.fails = undefined;
    await tellFor(40);
    expect(done.slice(3)).toEqual(['adopt', 'begin', 'end']);
    await tellFor(100);
    expect(done).toHaveLength(6);
  });

  test('ends a measurement with its signal without a word, and begins none after it', async () => {
    const { clock, done, state, stop, told, keeper } = keeping();
    state.isIdle = false;
    keeper.measure();
    await clock.advance(100);
    stop.abort();
    await keeper.settled();
    expect(keeper.isMeasuring()).toBe(false);
    keeper.measure();
    keeper.powerMode('MAXN');
    await keeper.settled();
    expect([done, told]).toEqual([['begin'], []]);
  });
});
