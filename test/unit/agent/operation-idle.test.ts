import fc from 'fast-check';
import { describe, expect, test } from 'vitest';
import { createClimbWatch } from '../../../agent/operation/climb.ts';
import { held } from '../../../agent/operation/held.ts';
import { createIdleWork, type IdleTask } from '../../../agent/operation/idle-work.ts';
import { createMemoryWatch } from '../../../agent/operation/memory.ts';
import { createWarmKeeper } from '../../../agent/operation/warm-keeper.ts';
import { memoryCosts } from '../../../agent/profile/memory-costs.ts';
import { manualClock } from '../../support/clock.ts';
import { fakeEngine } from '../../support/operation.ts';

describe('idle work', () => {
  const taskOf = (name: string, done: string[], change: Partial<IdleTask> = {}): IdleTask => ({
    wantsMs: () => 10,
    run: async () => void done.push(name),
    onFailed: (error) => void done.push(`${name} failed: ${String(error)}`),
    ...change,
  });

  test('is begun only when it ends well before the next frame, the first task first, one piece at a time', async () => {
    const done: string[] = [];
    const work = createIdleWork(manualClock(), [
      taskOf('large', done, { wantsMs: () => 40 }),
      taskOf('none', done, { wantsMs: () => undefined }),
      taskOf('small', done),
      taskOf('unknown', done, { wantsMs: () => Number.NaN }),
    ]);
    for (const leftMs of [14, 15, 59, 60]) await work(leftMs);
    expect(done).toEqual(['small', 'small', 'large']);
  });

  test('that has waited long for a gap is done all the same, where its task says so', async () => {
    const clock = manualClock();
    const done: string[] = [];
    const work = createIdleWork(clock, [
      taskOf('only in gaps', done),
      taskOf('patient', done, { patienceMs: 1_000 }),
    ]);
    for (let second = 0; second < 5; second += 0.25) {
      await work(0);
      await clock.advance(250);
    }
    expect(done).toEqual(['patient', 'patient', 'patient', 'patient']);
  });

  test('that fails, or that cannot even say what it wants, is told, tried later and later, and holds up nobody', async () => {
    const clock = manualClock();
    const done: string[] = [];
    const broken = async (): Promise<void> => {
      throw new Error('no');
    };
    const work = createIdleWork(clock, [
      taskOf('bad', done, { run: broken }),
      taskOf('worse', done, {
        wantsMs: () => {
          throw new Error('never');
        },
      }),
      taskOf('good', done),
    ]);
    for (let step = 0; step < 4; step += 1) await work(100);
    expect(done).toEqual(['bad failed: Error: no', 'worse failed: Error: never', 'good', 'good']);
    await clock.advance(5_000);
    await work(100);
    expect(done.slice(4)).toEqual(['bad failed: Error: no']);
    await clock.advance(5_000);
    await work(100);
    expect(done.slice(5)).toEqual(['worse failed: Error: never']);
  });
});

describe('the warm keeper', () => {
  const keeping = (costs: readonly number[], budgetBytes: number, warm: readonly number[]) => {
    const engine = fakeEngine(manualClock(), { warm });
    const world = {
      current: undefined as number | undefined,
      mayClimb: false,
      isShort: false,
      isMeasuring: false,
    };
    const told: string[] = [];
    const keeper = createWarmKeeper({
      engine,
      costs,
      budgetBytes,
      current: () => world.current,
      mayClimb: () => world.mayClimb,
      isMemoryShort: () => world.isShort,
      isMeasuring: () => world.isMeasuring,
      onChanged: () => void told.push('changed'),
      onUnloadable: (index, error) => void told.push(`${index}: ${String(error)}`),
      onFailed: (error) => void told.push(String(error)),
    });
    /** Works until there is nothing to do; calls `check` after each piece. */
    const work = async (check: () => void = () => undefined): Promise<void> => {
      for (let pieces = 0; keeper.wantsMs() !== undefined; pieces += 1) {
        if (pieces > 50) throw new Error('it never ends');
        await keeper.run();
        check();
      }
    };
    return { engine, world, told, work, keeper };
  };
  const sorted = (points: Iterable<number>): number[] => [...points].sort((a, b) => a - b);

  test('holds the budget at every moment, has the level in use loaded, and comes to an end', async () => {
    const costs = fc.array(fc.integer({ min: 1, max: 20 }), { minLength: 1, maxLength: 7 });
    const moves = fc.array(fc.nat({ max: 6 }), { minLength: 1, maxLength: 5 });
    const climbs = fc.boolean();
    await fc.assert(
      fc.asyncProperty(
        costs,
        fc.integer({ min: 20, max: 60 }),
        moves,
        climbs,
        async (all, budget, visits, up) => {
          const { engine, world, work } = keeping(all, budget, [0]);
          world.mayClimb = up;
          const used = () => [...engine.warm].reduce((sum, point) => sum + (all[point] ?? 0), 0);
          for (const visit of visits) {
            // Only what is loaded can come into use.
            const warm = sorted(engine.warm);
            world.current = warm[visit % warm.length];
            await work(() => expect(used()).toBeLessThanOrEqual(budget));
            expect(engine.warm).toContain(world.current);
          }
        },
      ),
    );
  });

  test('keeps the neighbours of the level in use loaded, and does nothing before the first inference', async () => {
    const { engine, world, work, told } = keeping([10, 20, 30, 40], 65, [0]);
    await work();
    expect(engine.done).toEqual([]);
    world.current = 0;
    await work();
    expect(sorted(engine.warm)).toEqual([0, 1, 2]);
    world.current = 2;
    await work();
    expect(sorted(engine.warm)).toEqual([0, 1, 2]);
    expect(told).toEqual(['changed', 'changed']);
    const climbing = keeping([10, 20, 30, 40], 75, [2]);
    climbing.world.current = 2;
    await climbing.work();
    expect(sorted(climbing.engine.warm)).toEqual([0, 1, 2]);
    climbing.world.current = 1;
    await climbing.work();
    expect(sorted(climbing.engine.warm)).toEqual([0, 1, 2]);
  });

  test('has a heavier level loaded instead of a lighter one when nothing speaks against it', async () => {
    const { engine, world, work } = keeping([10, 20, 30, 40], 55, [0, 1]);
    world.current = 1;
    await work();
    expect(sorted(engine.warm)).toEqual([0, 1]);
    world.mayClimb = true;
    await work();
    expect(sorted(engine.warm)).toEqual([1, 2]);
    world.current = 2;
    await work();
    // The next one does not fit beside this one.
    expect(sorted(engine.warm)).toEqual([1, 2]);
    world.mayClimb = false;
    world.current = 1;
    await work();
    expect(sorted(engine.warm)).toEqual([0, 1]);
  });

  test('gives up all but the level in use and the next lighter one when memory is short, and loads them again', async () => {
    const { engine, world, work } = keeping([10, 20, 30, 40], Number.POSITIVE_INFINITY, [0, 1, 2, 3]);
    world.current = 2;
    world.isShort = true;
    await work();
    expect(engine.done).toEqual(['unload 3', 'unload 0']);
    world.current = 0;
    await work();
    expect(sorted(engine.warm)).toEqual([0]);
    world.isShort = false;
    await work();
    expect(sorted(engine.warm)).toEqual([0, 1, 2, 3]);
  });

  test('does not try again what cannot be loaded, and tells it', async () => {
    const { engine, world, work, told } = keeping([10, 20, 30], 100, [0]);
    engine.broken.set('load 1', () => new Error('broken model'));
    world.current = 0;
    await work();
    expect(engine.done).toEqual(['load 1', 'load 2']);
    expect(told).toEqual(['1: Error: broken model', 'changed', 'changed']);
  });

  test('leaves alone what a measurement has loaded, counts it, and unloads it when it is left over', async () => {
    const { engine, world, work, keeper } = keeping([10, 20, 30], 35, [0, 1]);
    world.current = 0;
    world.isMeasuring = true;
    engine.warm.add(2);
    engine.warm.delete(1);
    await work();
    expect(engine.done).toEqual([]);
    expect([0, 2].map(keeper.isBorrowed)).toEqual([false, true]);
    world.isMeasuring = false;
    expect(keeper.isBorrowed(2)).toBe(false);
    await work();
    expect(engine.done).toEqual(['unload 2', 'load 1']);
  });
});

test('a heavier level may be loaded when nothing has kept the best one out for 2 s, and then not for 20 s', async () => {
  const clock = manualClock();
  const watch = createClimbWatch(clock);
  expect(watch.mayClimb()).toBe(false);
  watch.decided('best');
  await clock.advance(1_999);
  watch.decided('best');
  expect(watch.mayClimb()).toBe(false);
  await clock.advance(1);
  expect(watch.mayClimb()).toBe(true);
  watch.decided('latency-binds');
  watch.decided('best');
  await clock.advance(19_999);
  expect(watch.mayClimb()).toBe(false);
  await clock.advance(1);
  expect(watch.mayClimb()).toBe(true);
});

describe('memory', () => {
  const MEBIBYTE = 2 ** 20;

  test('is short below a twentieth, and long enough again only after a minute with twice that', async () => {
    const clock = manualClock();
    const watch = createMemoryWatch(clock, 4_000 * MEBIBYTE);
    const shortAfter = async (mebibytes: number | undefined, seconds = 1) => {
      await clock.advance(seconds * 1_000);
      watch.reading(mebibytes === undefined ? undefined : mebibytes * MEBIBYTE);
      return watch.isShort();
    };
    expect(await shortAfter(undefined)).toBe(false);
    expect(await shortAfter(201)).toBe(false);
    expect(await shortAfter(199)).toBe(true);
    expect(await shortAfter(1_000)).toBe(true);
    expect(await shortAfter(undefined, 100)).toBe(true);
    expect(await shortAfter(399)).toBe(true);
    expect(await shortAfter(400)).toBe(false);
  });

  test('of a large machine is short in bytes, not as a share', () => {
    const watch = createMemoryWatch(manualClock(), 10 ** 12);
    watch.reading(600 * MEBIBYTE);
    expect(watch.isShort()).toBe(false);
    watch.reading(500 * MEBIBYTE);
    expect(watch.isShort()).toBe(true);
  });

  test('of a point is what was measured, or else goes by the size of its model', () => {
    const levels = [{ model: { bytes: 100 } }, { model: { bytes: 200 } }];
    expect(memoryCosts([{ level: 1, memoryBytes: 50 }, { level: 0 }, { level: 1 }], levels)).toEqual([
      50, 180, 360,
    ]);
  });
});

test('what is held is asked for again when its time is up, or at once when what it is made of is another', async () => {
  const clock = manualClock();
  let made = 0;
  let source = {};
  const get = held(
    clock,
    500,
    () => {
      made += 1;
      return made;
    },
    () => source,
  );
  expect([get(), get()]).toEqual([1, 1]);
  await clock.advance(499);
  expect(get()).toBe(1);
  source = {};
  expect(get()).toBe(2);
  await clock.advance(500);
  expect(get()).toBe(3);
});
