import fc from 'fast-check';
import { describe, expect, it, test } from 'vitest';
import { powerLimits } from '../../../agent/sensors/power.ts';
import {
  createTurns,
  createUnit,
  type SensorHealth,
  type UnitDeps,
  type UnitOptions,
} from '../../../agent/sensors/unit.ts';
import { manualClock } from '../../support/clock.ts';

const BOUND_MS = 500;
const FIRST_MS = 1_000;

function bench() {
  const clock = manualClock();
  const told: SensorHealth[] = [];
  const deps: UnitDeps = {
    clock,
    random: () => 0.999,
    boundMs: BOUND_MS,
    backoff: { firstMs: FIRST_MS, capMs: 60_000 },
    activity: () => undefined,
    onHealth: (health) => told.push(health),
    hanging: { count: 0 },
    inTurn: createTurns(),
  };
  const unitOf = (read: () => Promise<number | undefined>, more: Partial<UnitOptions<number>> = {}) =>
    createUnit<number>({ name: 'one', open: async () => ({ read }), ...more }, deps);
  return { clock, told, deps, unitOf };
}

const judge = (watts: number) => ({ value: watts, raw: watts, limits: powerLimits('module', false) });

describe('a supervised sensor', () => {
  it('that fails is told once, left alone for a while, found again and told again', async () => {
    const { clock, told, unitOf } = bench();
    let opened = 0;
    let works = false;
    const read = async (): Promise<number> => {
      if (works) return 7;
      throw new Error('no such file');
    };
    const unit = unitOf(read, { open: async () => ({ read }) });
    const counted = unitOf(read, {
      open: async () => {
        opened += 1;
        return { read };
      },
    });
    expect([await unit.sample(), await counted.sample(), await counted.sample()]).toEqual([
      undefined,
      undefined,
      undefined,
    ]);
    expect(opened).toBe(1);
    await clock.advance(FIRST_MS);
    expect(await counted.sample()).toBeUndefined();
    expect(opened).toBe(2);
    works = true;
    await clock.advance(2 * FIRST_MS);
    expect(await counted.sample()).toBe(7);
    expect(told.slice(1).map(({ state, reason }) => [state, reason])).toEqual([
      ['missing', 'no such file'],
      ['ok', ''],
    ]);
    expect(unit.health()).toMatchObject({
      name: 'one',
      state: 'missing',
      sinceMs: 0,
      reason: 'no such file',
    });
  });

  it('that is slow is abandoned, is not read again before it has come back, and its late value is not used', async () => {
    const { clock, told, deps, unitOf } = bench();
    const late = Promise.withResolvers<number>();
    let reads = 0;
    const unit = unitOf(async () => {
      reads += 1;
      return reads === 1 ? await late.promise : reads;
    });
    const sampled = unit.sample();
    await clock.advance(BOUND_MS);
    expect(await sampled).toBeUndefined();
    expect(unit.health()).toMatchObject({ state: 'slow', reason: 'it was not read within 500 ms' });
    await clock.advance(600_000);
    expect([await unit.sample(), reads, deps.hanging.count]).toEqual([undefined, 1, 1]);
    late.resolve(99);
    await clock.advance(0);
    expect([await unit.sample(), reads, deps.hanging.count]).toEqual([2, 2, 0]);
    expect(told.map(({ state }) => state)).toEqual(['slow', 'ok']);
  });

  it('that is done when a busy process finds its bound passed is not slow', async () => {
    const { clock, unitOf } = bench();
    const slow = unitOf(async () => {
      await clock.sleep(BOUND_MS);
      return 3;
    });
    const sampled = slow.sample();
    await clock.advance(BOUND_MS);
    expect(await sampled).toBe(3);
  });

  it('is not read while many others hang: they hold the threads that the process needs', async () => {
    const { clock, unitOf } = bench();
    const never = new Promise<number>(() => undefined);
    const hanging = [1, 2, 3].map(() => unitOf(async () => await never));
    let reads = 0;
    const good = unitOf(async () => {
      reads += 1;
      return reads;
    });
    for (const unit of hanging) {
      expect(await good.sample()).toBe(reads);
      const sampled = unit.sample();
      await clock.advance(BOUND_MS);
      expect(await sampled).toBeUndefined();
    }
    expect([await good.sample(), reads]).toEqual([undefined, 3]);
    expect(good.health()).toMatchObject({ state: 'slow', reason: 'not read while 3 reads of sensors hang' });
  });

  it('that tells nonsense is kept open and taken out until it tells sense', async () => {
    const { clock, told, unitOf } = bench();
    const values = [5, -1, Number.NaN, 6];
    const unit = unitOf(async () => values.shift(), { judge });
    const seen: unknown[] = [];
    for (let count = 0; count < 4; count += 1) {
      seen.push(await unit.sample());
      await clock.advance(10_000);
    }
    expect(seen).toEqual([5, undefined, undefined, 6]);
    expect(told.map(({ state }) => state)).toEqual(['absurd', 'ok']);
    expect(told[0]?.reason).toBe('-1 W was read, expected 0.001 to 500 W');
  });

  it('that may be off is not told of, but of its nonsense is', async () => {
    const { clock, told, unitOf } = bench();
    const values = [5, undefined, -1];
    const read = async (): Promise<number> => {
      const value = values.shift();
      if (value === undefined) throw new Error('off');
      return value;
    };
    const unit = unitOf(read, { judge, isOptional: true });
    for (let count = 0; count < 3; count += 1) {
      await unit.sample();
      await clock.advance(10_000);
    }
    expect(told.map(({ state }) => state)).toEqual(['absurd']);
  });

  it('gives back what it holds when it fails, when it is released and when it is closed, also while it opens', async () => {
    const { clock, deps } = bench();
    let closed = 0;
    const gate = Promise.withResolvers<void>();
    const open = async () => {
      await gate.promise;
      return {
        read: async () => 1,
        close: () => {
          closed += 1;
        },
      };
    };
    const unit = createUnit<number>({ name: 'held', open }, deps);
    const sampled = unit.sample();
    await clock.advance(0);
    unit.close();
    gate.resolve();
    await sampled;
    expect(closed).toBe(1);
    expect(await unit.sample()).toBeUndefined();
    const other = createUnit<number>({ name: 'other', open }, deps);
    expect(await other.sample()).toBe(1);
    other.release();
    expect(closed).toBe(2);
    expect(await other.sample()).toBe(1);
    other.close();
    expect(closed).toBe(3);
  });
});

test('whatever a sensor reads, no power comes out that is none', async () => {
  const watts = fc.oneof(
    fc.double(),
    fc.double({ min: 0.5, max: 40, noNaN: true }),
    fc.constant('fails' as const),
  );
  await fc.assert(
    fc.asyncProperty(fc.array(watts, { maxLength: 30 }), async (values) => {
      const { clock, unitOf } = bench();
      const unit = unitOf(
        async () => {
          const value = values.shift();
          if (value === 'fails') throw new Error('fails');
          return value;
        },
        { judge },
      );
      while (values.length > 0) {
        const out = await unit.sample();
        if (out !== undefined) expect(out > 0 && out <= 500).toBe(true);
        await clock.advance(30_000);
      }
    }),
    { numRuns: 30 },
  );
});

test('turns are taken one after the other, also after one that failed', async () => {
  const inTurn = createTurns();
  const order: string[] = [];
  const failing = inTurn(async () => {
    order.push('first begins');
    await Promise.resolve();
    order.push('first ends');
    throw new Error('first');
  });
  const second = inTurn(async () => {
    order.push('second');
  });
  await expect(failing).rejects.toThrow('first');
  await second;
  expect(order).toEqual(['first begins', 'first ends', 'second']);
});
