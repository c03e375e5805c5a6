import fc from 'fast-check';
import { describe, expect, test } from 'vitest';
import type { Contender } from '../../../agent/profile/contender.ts';
import { latencyFigures } from '../../../agent/profile/figures.ts';
import { type MeasuredEngine, measureFamily, trialPoints } from '../../../agent/profile/measure.ts';
import { chooseThreads } from '../../../agent/profile/threads.ts';
import type { PowerMeter } from '../../../shared/power/meter.ts';
import { type JumpingClock, jumpingClock } from '../../support/clock.ts';

const FRAME = new Uint8Array(4);
const PERIOD_MS = 20;

/** An engine whose points take what a script says, and that keeps a diary. */
function scriptedEngine(clock: JumpingClock, takes: (point: number, turn: number) => number) {
  const diary: { readonly what: 'load' | 'unload' | 'run'; readonly point: number; readonly atMs: number }[] =
    [];
  const loaded = new Set<number>();
  const turns = new Map<number, number>();
  const engine: MeasuredEngine = {
    load: async (point) => {
      diary.push({ what: 'load', point, atMs: clock.monoMs() });
      loaded.add(point);
    },
    unload: async (point) => {
      diary.push({ what: 'unload', point, atMs: clock.monoMs() });
      loaded.delete(point);
    },
    run: async (point) => {
      expect(loaded).toContain(point);
      diary.push({ what: 'run', point, atMs: clock.monoMs() });
      const turn = turns.get(point) ?? 0;
      turns.set(point, turn + 1);
      const totalMs = takes(point, turn);
      clock.pass(totalMs);
      return { totalMs };
    },
  };
  return { engine, diary, loaded };
}

function contender(level: number, threads: readonly number[] = [1]): Contender {
  return {
    pe: 'cpu',
    providers: ['cpu'],
    threads,
    level,
    sha256: `${level}`.repeat(64),
    modelPath: `${level}`,
  };
}

describe('figures', () => {
  test('are median, nearest-rank p95 and median deviation, which an outlier does not move', () => {
    expect(latencyFigures([1, 90, 2])).toEqual({ medianMs: 2, p95Ms: 90, madMs: 1, runs: 3 });
    const hundred = Array.from({ length: 100 }, (_, index) => index + 1);
    expect(latencyFigures(hundred)).toEqual({ medianMs: 50.5, p95Ms: 95, madMs: 25, runs: 100 });
  });
});

describe('threads', () => {
  test('more are taken only when their p95 is lower by more than a tenth', () => {
    const choose = (...p95s: number[]) =>
      chooseThreads(p95s.map((p95Ms, index) => ({ threads: index + 1, p95Ms })));
    expect(choose(10, 9.1)).toBe(1);
    expect(choose(10, 8.9)).toBe(2);
    expect(choose(10, 8.9, 8.5)).toBe(2);
    expect(choose(10, 20, 8)).toBe(3);
  });

  test('the choice is never beaten by fewer threads, nor by any number by more than the margin of each step', () => {
    const latency = fc.double({ min: 0.1, max: 1_000, noNaN: true });
    fc.assert(
      fc.property(fc.array(latency, { minLength: 1, maxLength: 6 }), (p95s) => {
        const measured = p95s.map((p95Ms, index) => ({ threads: index + 1, p95Ms }));
        const chosen = chooseThreads(measured.toReversed());
        const chosenMs = p95s[chosen - 1] ?? Number.NaN;
        expect(p95s.slice(0, chosen - 1).every((p95Ms) => chosenMs < p95Ms)).toBe(true);
        expect(p95s.slice(chosen).every((p95Ms) => p95Ms >= chosenMs * 0.9)).toBe(true);
      }),
    );
  });
});

describe('measuring a family', () => {
  test('drops the first runs, and takes the number of threads that is better', async () => {
    const clock = jumpingClock();
    const contenders = [contender(0, [1, 2]), contender(1, [1, 2])];
    // Level 0 gains nothing by threads, level 1 does; the first runs are slow.
    const steady = [1, 1, 8, 4];
    const { engine, loaded } = scriptedEngine(clock, (point, turn) =>
      turn < 3 ? 100 : (steady[point] ?? 0),
    );
    const measured = await measureFamily(contenders, engine, { frame: FRAME, clock, periodMs: PERIOD_MS });
    expect(measured.leftOut).toEqual([]);
    expect(measured.points).toMatchObject([
      { level: 0, threads: 1, latency: { medianMs: 1, p95Ms: 1, madMs: 0, runs: 20 } },
      { level: 1, threads: 2, latency: { medianMs: 4, p95Ms: 4, madMs: 0, runs: 20 } },
    ]);
    expect([...loaded]).toEqual([0, 3]);
    expect(trialPoints(contenders).map(({ level, threads }) => [level, threads])).toEqual([
      [0, 1],
      [0, 2],
      [1, 1],
      [1, 2],
    ]);
  });

  test('one that cannot be loaded or run is left out with its reason, and the others go on', async () => {
    const clock = jumpingClock();
    const { engine } = scriptedEngine(clock, () => 2);
    const broken: MeasuredEngine = {
      ...engine,
      load: async (point) => (point === 0 ? Promise.reject(new Error('no such file')) : engine.load(point)),
      run: async (point, frame) =>
        point === 2 ? Promise.reject(new Error('bad node')) : engine.run(point, frame),
    };
    const three = [contender(0), contender(1), contender(2)];
    const measured = await measureFamily(three, broken, { frame: FRAME, clock, periodMs: PERIOD_MS });
    expect(measured.points.map(({ level }) => level)).toEqual([1]);
    expect(measured.leftOut).toEqual([
      { pe: 'cpu', level: 0, reason: 'no such file' },
      { pe: 'cpu', level: 2, reason: 'bad node' },
    ]);
  });

  test('memory is what the process grew by; within a budget only what fits is loaded at once', async () => {
    const clock = jumpingClock();
    const { engine, loaded } = scriptedEngine(clock, () => 2);
    let most = 0;
    const counting: MeasuredEngine = {
      ...engine,
      load: async (point) => {
        await engine.load(point);
        most = Math.max(most, loaded.size);
      },
    };
    const measured = await measureFamily([contender(0), contender(1), contender(2)], counting, {
      frame: FRAME,
      clock,
      periodMs: PERIOD_MS,
      memoryBytes: async () => loaded.size * 10,
      budgetBytes: 25,
    });
    expect(measured.points.map(({ memoryBytes, latency }) => [memoryBytes, latency.runs])).toEqual([
      [10, 20],
      [10, 20],
      [10, 20],
    ]);
    expect(most).toBe(2);
    expect(loaded.size).toBe(0);
  });

  test('energy is that of a second of runs above as long an idle time', async () => {
    const clock = jumpingClock();
    const { engine, diary } = scriptedEngine(clock, () => 10);
    // 2 W of idling; a run of 10 ms adds 0.05 J.
    const meter: PowerMeter = {
      kind: 'energy',
      source: 'a counter',
      scope: 'module',
      readJ: async () => clock.monoMs() * 0.002 + diary.filter(({ what }) => what === 'run').length * 0.05,
    };
    const options = { frame: FRAME, clock, periodMs: PERIOD_MS };
    const { points } = await measureFamily([contender(0)], engine, { ...options, meter });
    expect(points[0]?.energyJ).toBeCloseTo(0.05, 6);
    const inLastSecond = diary.filter(({ what, atMs }) => what === 'run' && atMs >= clock.monoMs() - 1_000);
    expect(inLastSecond.length).toBeGreaterThanOrEqual(100);

    const lost = { ...meter, readJ: () => Promise.reject(new Error('the bus is gone')) };
    const again = await measureFamily([contender(0)], engine, { ...options, meter: lost });
    expect(again.points[0]).toMatchObject({ energyReason: 'the bus is gone' });
    expect(again.points[0]).not.toHaveProperty('energyJ');
    const none = await measureFamily([contender(0)], engine, {
      ...options,
      meter: { unavailable: 'no sensor' },
    });
    expect(none.points[0]).toMatchObject({ energyReason: 'no sensor' });
  });

  test('it stops when it is told to', async () => {
    const clock = jumpingClock();
    const abort = new AbortController();
    const { engine } = scriptedEngine(clock, (_, turn) => {
      if (turn === 5) abort.abort(new Error('shutting down'));
      return 1;
    });
    const options = { frame: FRAME, clock, periodMs: PERIOD_MS, signal: abort.signal };
    await expect(measureFamily([contender(0)], engine, options)).rejects.toThrow('shutting down');
  });
});
