import * as fc from 'fast-check';
import { describe, expect, test } from 'vitest';
import {
  type EnergyReading,
  type EnergyState,
  energyReading,
  energyView,
  initialEnergy,
  type PowerModel,
  type Work,
  withEnergy,
} from '../../../agent/energy/learner.ts';
import type { Profile } from '../../../agent/runtime/points.ts';
import { counted } from '../../../shared/power/rapl.ts';
import { type Random, seededRandom } from '../../../shared/random.ts';

const LATENCIES_MS = [10, 15, 22, 33, 48];
const TRUE_J = [0.06, 0.09, 0.13, 0.2, 0.3];
const IDLE_W = 4;
const PROFILE: Profile = LATENCIES_MS.map((latencyMs, level) => ({
  pe: 'cpu',
  level,
  accuracy: 0.8 + level / 100,
  latencyMs,
}));

interface Device {
  readonly readings?: number;
  readonly periodMs?: number;
  /** Standard deviation of a reading, relative. */
  readonly noise?: number;
  readonly model?: PowerModel;
  /** Inferences of each point within a reading. */
  readonly load: (reading: number, random: Random) => readonly number[];
  /** What other programs use, watts. */
  readonly others?: (random: Random) => number;
}

/** A device with the true energies, read again and again. */
function learn(device: Device, random: Random): EnergyState {
  const { readings = 1_500, periodMs = 200, noise = 0.02, load, others = () => 0 } = device;
  let state = initialEnergy(PROFILE, device.model);
  for (let index = 0; index < readings; index += 1) {
    const inferences = load(index, random);
    const usedJ = inferences.reduce((sum, count, point) => sum + count * (TRUE_J[point] ?? 0), 0);
    const energyJ = ((IDLE_W + others(random)) * periodMs) / 1_000 + usedJ;
    const reading = {
      fromMs: index * periodMs,
      toMs: (index + 1) * periodMs,
      energyJ: Math.max(0, energyJ * (1 + noise * random.normal())),
      quality: 'measured',
    } as const;
    state = energyReading(state, reading, workOf(inferences));
  }
  return state;
}

function workOf(inferences: readonly number[]): Work[] {
  return inferences.map((count, point) => ({
    point,
    inferences: count,
    busyMs: count * (LATENCIES_MS[point] ?? 0),
  }));
}

/** One point after the other for ten seconds each, and nothing in between now and then. */
const inTurn = (reading: number): number[] => {
  const turn = Math.floor(reading / 50) % 6;
  return TRUE_J.map((_, point) => (point === turn ? 4 : 0));
};

function relativeErrors(state: EnergyState): number[] {
  return energyView(state).points.map(({ energyJ }, point) =>
    Math.abs((energyJ ?? Number.NaN) / (TRUE_J[point] ?? 1) - 1),
  );
}

describe('energy of each operating point', () => {
  test('is found within a few percent from noisy readings, whatever the idle power', () => {
    fc.assert(
      fc.property(fc.integer(), (seed) => {
        const state = learn({ load: inTurn }, seededRandom(seed));
        const { points, idle } = energyView(state);
        expect(points.map(({ quality }) => quality)).toEqual(TRUE_J.map(() => 'measured'));
        expect(Math.max(...relativeErrors(state))).toBeLessThan(0.06);
        expect(Math.abs((idle.powerW ?? 0) / IDLE_W - 1)).toBeLessThan(0.02);
      }),
      { numRuns: 8 },
    );
  });

  test('is found when levels change within every reading', () => {
    const load = (_: number, random: Random): number[] => TRUE_J.map(() => random.below(3));
    const state = learn({ load, readings: 4_000, model: { idleW: IDLE_W } }, seededRandom(3));
    const errors = relativeErrors(state);
    expect(Math.max(...errors.slice(2))).toBeLessThan(0.06);
    expect(Math.max(...errors)).toBeLessThan(0.2);
  });

  test('lies within three standard errors of the truth nearly always', () => {
    let outside = 0;
    for (let seed = 0; seed < 12; seed += 1) {
      const { points } = energyView(learn({ load: inTurn, readings: 900 }, seededRandom(seed)));
      for (const [point, { energyJ = 0, standardErrorJ = 0 }] of points.entries()) {
        if (Math.abs(energyJ - (TRUE_J[point] ?? 0)) > 3 * standardErrorJ) outside += 1;
      }
    }
    expect(outside).toBeLessThanOrEqual(3);
  });

  test('is hardly moved by other programs that start and stop', () => {
    const others = (random: Random): number => (random.below(100) < 2 ? 6 : 0);
    const state = learn({ load: inTurn, others }, seededRandom(4));
    expect(Math.max(...relativeErrors(state).slice(1))).toBeLessThan(0.1);
  });

  test('follows when it changes for good', () => {
    let state = learn({ load: inTurn }, seededRandom(5));
    for (let index = 0; index < 6_000; index += 1) {
      const fromMs = (1_500 + index) * 200;
      const inferences = inTurn(index);
      const usedJ = inferences.reduce((sum, count, point) => sum + count * 2 * (TRUE_J[point] ?? 0), 0);
      const reading = {
        fromMs,
        toMs: fromMs + 200,
        energyJ: 0.2 * IDLE_W + usedJ,
        quality: 'measured',
      } as const;
      state = energyReading(state, reading, workOf(inferences));
    }
    for (const [point, { energyJ = 0 }] of energyView(state).points.entries()) {
      expect(energyJ / (TRUE_J[point] ?? 1)).toBeGreaterThan(1.5);
    }
  });

  test('comes right out of a counter that turns over, by way of the meter', () => {
    const rangeUj = 20_000_000;
    let state = initialEnergy(PROFILE, { idleW: IDLE_W });
    let counterUj = 15_000_000;
    for (let index = 0; index < 200; index += 1) {
      const nowUj = (counterUj + (IDLE_W + 4 * 0.3) * 1e6) % rangeUj;
      const energyJ = counted(counterUj, nowUj, rangeUj) / 1e6;
      counterUj = nowUj;
      const reading = {
        fromMs: index * 1_000,
        toMs: (index + 1) * 1_000,
        energyJ,
        quality: 'measured',
      } as const;
      state = energyReading(state, reading, [{ point: 4, inferences: 4, busyMs: 4 * 48 }]);
    }
    expect(energyView(state).ignored).toBe(0);
    expect(relativeErrors(state)[4]).toBeLessThan(0.15);
  });
});

test('what is known of a point stays known when it has not run for long', () => {
  const once = (reading: number): readonly number[] => (reading < 1_500 ? inTurn(reading) : [4, 0, 0, 0, 0]);
  const state = learn({ load: once, readings: 30_000 }, seededRandom(8));
  expect(energyView(state).points[3]?.quality).toBe('measured');
  expect(relativeErrors(state)[3]).toBeLessThan(0.06);
});

describe('what was not measured', () => {
  test('is unknown without a model, and said to be modelled with one', () => {
    const [unknown] = energyView(initialEnergy(PROFILE)).points;
    expect(unknown).toEqual({ energyJ: undefined, standardErrorJ: undefined, quality: 'unknown' });
    const { points, idle } = energyView(initialEnergy(PROFILE, { activeW: 6, idleW: 3 }));
    expect(points[4]).toMatchObject({ energyJ: 0.288, quality: 'modelled' });
    expect(idle).toMatchObject({ powerW: 3, quality: 'modelled' });
  });

  test('follows the time that inferences really take', () => {
    let state = initialEnergy(PROFILE, { activeW: 6 });
    for (let index = 0; index < 50; index += 1) {
      const reading = {
        fromMs: index * 1e3,
        toMs: (index + 1) * 1e3,
        energyJ: 5,
        quality: 'modelled',
      } as const;
      state = energyReading(state, reading, [{ point: 0, inferences: 5, busyMs: 100 }]);
    }
    expect(energyView(state)).toMatchObject({ intervals: 0, ignored: 0 });
    expect(energyView(state).points[0]?.energyJ).toBeCloseTo(6 * 0.02, 6);
  });

  test('is not called measured at a steady load, where idle power cannot be told apart', () => {
    const steady = (): number[] => [0, 0, 4, 0, 0];
    const state = learn({ load: steady }, seededRandom(6));
    expect(energyView(state).points.map(({ quality }) => quality)).not.toContain('measured');
    const known = learn({ load: steady, model: { idleW: IDLE_W } }, seededRandom(6));
    expect(energyView(known).points[2]?.quality).toBe('measured');
    expect(relativeErrors(known)[2]).toBeLessThan(0.1);
  });

  test('is modelled by the power of the points that were measured', () => {
    const load = (reading: number): number[] => [0, 0, 0, 0, reading % 100 < 50 ? 4 : 0];
    const { points } = energyView(learn({ load, model: { activeW: 20 } }, seededRandom(7)));
    expect(points[4]?.quality).toBe('measured');
    expect(points[0]?.quality).toBe('modelled');
    expect((points[0]?.energyJ ?? 0) / 0.06).toBeCloseTo(1, 0);
  });
});

describe('bad input', () => {
  const good: EnergyReading = { fromMs: 1_000, toMs: 2_000, energyJ: 5, quality: 'measured' };
  const absurd: readonly Partial<EnergyReading>[] = [
    { energyJ: Number.NaN },
    { energyJ: -1 },
    { energyJ: Number.POSITIVE_INFINITY },
    { energyJ: 1e9 },
    { toMs: 1_000 },
    { toMs: 500 },
    { fromMs: Number.NaN },
    { toMs: Number.POSITIVE_INFINITY },
  ];

  test.each(absurd)('%o is ignored and counted', (part) => {
    const state = energyReading(initialEnergy(PROFILE), { ...good, ...part }, []);
    expect(energyView(state)).toMatchObject({ intervals: 0, ignored: 1 });
    expect(energyView(energyReading(state, { ...good, fromMs: 9e3, toMs: 1e4 }, []))).toMatchObject({
      intervals: 1,
    });
  });

  test('a reading of a time that was read already is ignored', () => {
    const once = energyReading(initialEnergy(PROFILE), good, []);
    expect(energyView(energyReading(once, good, []))).toMatchObject({ intervals: 1, ignored: 1 });
  });

  test('readings on both sides of a gap are not put together', () => {
    let state = initialEnergy(PROFILE);
    state = energyReading(state, { ...good, fromMs: 0, toMs: 600 }, []);
    state = energyReading(state, { ...good, fromMs: 900, toMs: 1_500 }, []);
    expect(energyView(state).intervals).toBe(0);
    state = energyReading(state, { ...good, fromMs: 1_500, toMs: 2_000 }, []);
    expect(energyView(state).intervals).toBe(1);
  });

  test('nothing makes it negative or no number', () => {
    const anything = fc.oneof(
      fc.double(),
      fc.constantFrom(0, -1, 5e-324, 1e308),
      fc.double({ min: 0, max: 1e5, noNaN: true }),
    );
    const readings = fc.record({
      fromMs: anything,
      toMs: anything,
      energyJ: anything,
      quality: fc.constantFrom('measured', 'modelled', 'unknown'),
    });
    const usual = fc.record({
      lengthMs: fc.integer({ min: 1, max: 5_000 }),
      energyJ: fc.double({ min: 0, max: 500, noNaN: true }),
    });
    const work = fc.record({
      point: fc.integer({ min: -1, max: 5 }),
      inferences: fc.nat(1e4),
      busyMs: anything,
    });
    const works = fc.array(work, { maxLength: 4 });
    const knownWorks = fc.array(
      fc.record({ point: fc.nat(4), inferences: fc.nat(1e3), busyMs: fc.nat(1e5) }),
      { maxLength: 4 },
    );
    const steps = fc.array(fc.oneof(fc.tuple(readings, works), fc.tuple(usual, knownWorks)), {
      maxLength: 40,
    });
    fc.assert(
      fc.property(steps, fc.constantFrom(undefined, 0, 6, 1e5), (all, activeW) => {
        const begun = initialEnergy(PROFILE, activeW === undefined ? {} : { activeW });
        const figures = energyView(all.reduce(taken, { state: begun, nowMs: 0 }).state).points.flatMap(
          ({ energyJ = 0, standardErrorJ = 0 }) => [energyJ, standardErrorJ],
        );
        expect(figures.filter((figure) => !(figure >= 0 && Number.isFinite(figure)))).toEqual([]);
      }),
      { numRuns: 300 },
    );
  });
});

type Step = readonly [
  EnergyReading | { readonly lengthMs: number; readonly energyJ: number },
  readonly Work[],
];

/** A step of a length follows the last one of its kind. */
function taken(
  { state, nowMs }: { readonly state: EnergyState; readonly nowMs: number },
  [step, work]: Step,
) {
  if (!('lengthMs' in step)) return { state: energyReading(state, step, work), nowMs };
  const toMs = nowMs + step.lengthMs;
  const reading = { fromMs: nowMs, toMs, energyJ: step.energyJ, quality: 'measured' } as const;
  return { state: energyReading(state, reading, work), nowMs: toMs };
}

test('a profile gets the energies that are known, and keeps those that are not', () => {
  const profile: Profile = PROFILE.map((point, index) => (index === 1 ? { ...point, energyJ: 7 } : point));
  const points = [{ energyJ: 1, standardErrorJ: 0, quality: 'measured' } as const];
  const filled = withEnergy(profile, { points });
  expect(filled.map(({ energyJ }) => energyJ)).toEqual([1, 7, undefined, undefined, undefined]);
  expect(filled[2]).toBe(profile[2]);
});
