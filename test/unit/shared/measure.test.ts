import fc from 'fast-check';
import { describe, expect, it, test } from 'vitest';
import type { Clock } from '../../../shared/clock.ts';
import { AppError } from '../../../shared/errors.ts';
import { energyPerInference } from '../../../shared/measure/energy.ts';
import { measureInTurns, orderOfRound, pacer, timed } from '../../../shared/measure/turns.ts';
import type { EnergyCounter, PowerGauge } from '../../../shared/power/meter.ts';
import { jumpingClock } from '../../support/clock.ts';

const tight = async (): Promise<void> => undefined;

describe('models that are measured', () => {
  it('take turns, and the rounds that warm up do not count', async () => {
    const clock = jumpingClock();
    const asked: string[] = [];
    const runs = [2, 7].map((ms, index) => async (turn: number) => {
      asked.push(`${index}@${turn}`);
      clock.pass(turn === 0 ? 1_000 : ms);
    });
    const timedRuns = runs.map((run) => timed(run, clock));
    const latenciesMs = await measureInTurns(timedRuns, { rounds: 2, warmUp: 1, pace: tight });
    expect(latenciesMs).toEqual([
      [2, 2],
      [7, 7],
    ]);
    expect(asked).toEqual(['0@0', '1@0', '1@1', '0@1', '1@2', '0@2']);
  });

  test('each follows every other one equally often', () => {
    fc.assert(
      fc.property(fc.integer({ min: 2, max: 12 }), (count) => {
        const rounds = count % 2 === 0 ? count : 2 * count;
        const pairs = new Map<string, number>();
        for (let round = 0; round < rounds; round += 1) {
          const order = orderOfRound(round, count);
          expect(order.toSorted((a, b) => a - b)).toEqual(Array.from({ length: count }, (_, index) => index));
          for (const [place, index] of order.slice(1).entries()) {
            const pair = `${order[place]} ${index}`;
            pairs.set(pair, (pairs.get(pair) ?? 0) + 1);
          }
        }
        expect(pairs.size).toBe(count * (count - 1));
        expect(new Set(pairs.values()).size).toBe(1);
      }),
    );
  });

  it('stop when they are told to', async () => {
    const stop = new AbortController();
    const run = async (turn: number) => {
      if (turn === 1) stop.abort(new Error('enough'));
      return 1;
    };
    const options = { rounds: 9, warmUp: 0, pace: tight, signal: stop.signal };
    await expect(measureInTurns([run], options)).rejects.toThrow('enough');
  });
});

describe('a pace', () => {
  it('lets one inference begin per period, and makes nothing up for one that was late', async () => {
    const clock = jumpingClock();
    const pace = pacer(clock, 40);
    const beganMs: number[] = [];
    for (const workMs of [10, 10, 100, 10, 10]) {
      await pace();
      beganMs.push(clock.monoMs());
      clock.pass(workMs);
    }
    expect(beganMs).toEqual([0, 40, 80, 180, 220]);
  });

  it('does not wait without a period', async () => {
    const clock = jumpingClock();
    await pacer(clock, undefined)();
    expect(clock.monoMs()).toBe(0);
  });
});

describe('the energy of an inference', () => {
  const IDLE_W = 3;
  const BUSY_W = 8;
  const RUN_MS = 10;

  /** A machine that draws more while it runs, with both kinds of meter. */
  function machine() {
    const clock = jumpingClock();
    let joules = 0;
    let watts = IDLE_W;
    const draw = (ms: number, level: number): void => {
      watts = level;
      joules += (level * ms) / 1_000;
      clock.pass(ms);
    };
    const run = async (): Promise<void> => draw(RUN_MS, BUSY_W);
    const idling: Clock = { ...clock, sleep: async (ms) => draw(ms, IDLE_W) };
    const counter: EnergyCounter = {
      kind: 'energy',
      source: 'counter',
      scope: 'package',
      readJ: async () => joules,
    };
    const gauge: PowerGauge = { kind: 'power', source: 'gauge', scope: 'module', readW: async () => watts };
    return { run, clock: idling, counter, gauge };
  }

  it('is what a window of runs takes above idling, by a counter', async () => {
    const { run, clock, counter } = machine();
    const energy = await energyPerInference({ meter: counter, run, pace: tight, windowMs: 1_000, clock });
    expect('energyJ' in energy && energy.energyJ).toBeCloseTo(((BUSY_W - IDLE_W) * RUN_MS) / 1_000, 9);
  });

  it('is the same by a gauge, up to the edges of the window', async () => {
    const { run, clock, gauge } = machine();
    const energy = await energyPerInference({ meter: gauge, run, pace: tight, windowMs: 5_000, clock });
    expect('energyJ' in energy && energy.energyJ).toBeCloseTo(((BUSY_W - IDLE_W) * RUN_MS) / 1_000, 2);
  });

  it('does not depend on the pace', async () => {
    const { run, clock, counter } = machine();
    const pace = pacer(clock, 100);
    const energy = await energyPerInference({ meter: counter, run, pace, windowMs: 2_000, clock });
    expect('energyJ' in energy && energy.energyJ).toBeCloseTo(((BUSY_W - IDLE_W) * RUN_MS) / 1_000, 9);
  });

  const flat: PowerGauge = { kind: 'power', source: 'flat', scope: 'module', readW: async () => 5 };
  const lost: PowerGauge = {
    ...flat,
    readW: async () => {
      throw new AppError('system', 'in1_input: cannot be read');
    },
  };
  test.each([
    ['there is no meter', { unavailable: 'no sensor' }, 'no sensor'],
    ['the meter fails', lost, 'in1_input: cannot be read'],
    ['nothing is seen of the runs', flat, 'flat: not above the 5.00 W of idling'],
  ])('is unknown, with the reason, when %s', async (_case, meter, energyReason) => {
    const { run, clock } = machine();
    const energy = await energyPerInference({ meter, run, pace: tight, windowMs: 1_000, clock });
    expect(energy).toEqual({ energyReason });
  });
});
