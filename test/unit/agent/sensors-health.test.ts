import fc from 'fast-check';
import { describe, expect, it, test } from 'vitest';
import {
  type Health,
  isDue,
  type Limits,
  type Outcome,
  stepHealth,
  unreadHealth,
} from '../../../agent/sensors/health.ts';
import { powerLimits } from '../../../agent/sensors/power.ts';
import { TEMPERATURE_LIMITS } from '../../../agent/sensors/thermal.ts';

const RETRYING = { backoff: { firstMs: 1_000, capMs: 60_000 }, chance: 0.5 };
const GAUGE = powerLimits('module', false);

const reads = (value: number, limits: Limits = GAUGE, activity?: number, raw = value): Outcome => ({
  kind: 'value',
  value,
  raw,
  activity,
  limits,
});
const failure: Outcome = { kind: 'failed', reason: 'gone' };

/** Health after each of the outcomes, a second apart. */
function follow(outcomes: readonly Outcome[], from: Health = unreadHealth(0)): Health[] {
  const path: Health[] = [];
  let health = from;
  for (const [index, outcome] of outcomes.entries()) {
    health = stepHealth(health, outcome, (index + 1) * 1_000, RETRYING);
    path.push(health);
  }
  return path;
}
const states = (outcomes: readonly Outcome[]): string[] => follow(outcomes).map(({ state }) => state);

describe('a sensor is taken out', () => {
  it.each([
    ['is not a number', Number.NaN],
    ['is negative', -3],
    ['is zero', 0],
    ['is infinite', Number.POSITIVE_INFINITY],
    ['is more than a module can draw', 501],
  ])('when its power %s, and comes back with the next good one', (_case, watts) => {
    expect(states([reads(5), reads(watts), reads(5)])).toEqual(['ok', 'absurd', 'ok']);
  });

  it('when it jumps a hundredfold, up or down, and stays out as long as it stays there', () => {
    const usual = [4, 5, 6].map((watts) => reads(watts));
    expect(states([...usual, reads(499.9), reads(6)])).toEqual(['ok', 'ok', 'ok', 'ok', 'ok']);
    const wide = { ...GAUGE, max: 1e6 };
    const jumps = [600, 600, 601, 602, 603].map((watts) => reads(watts, wide));
    expect(states([...usual, ...jumps]).slice(3)).toEqual(Array(5).fill('absurd'));
    expect(states([...[400, 410, 420].map((watts) => reads(watts)), reads(0.4)]).at(-1)).toBe('absurd');
  });

  it('when it fails or is slow, for as long as that', () => {
    const slow: Outcome = { kind: 'slow', reason: 'late' };
    expect(states([reads(5), failure, slow, slow, reads(5)])).toEqual([
      'ok',
      'missing',
      'slow',
      'slow',
      'ok',
    ]);
  });

  it('when it shows exactly the same while the load varies, until it moves', () => {
    const held = Array.from({ length: 12 }, (_, index) => reads(5, GAUGE, index % 2 === 0 ? 0.1 : 0.9));
    expect(states(held).slice(8)).toEqual(['ok', 'frozen', 'frozen', 'frozen']);
    expect(states([...held, reads(5.001)]).at(-1)).toBe('ok');
  });

  it('not when it shows the same under the same load, or under one that is not known', () => {
    expect(new Set(states(Array(40).fill(reads(5, GAUGE, 0.5))))).toEqual(new Set(['ok']));
    expect(new Set(states(Array(40).fill(reads(5))))).toEqual(new Set(['ok']));
  });

  it('not when it is read more often than it measures', () => {
    let health = unreadHealth(0);
    for (let count = 0; count < 40; count += 1) {
      health = stepHealth(health, reads(5, GAUGE, count % 2), count * 100, RETRYING);
    }
    expect(health.state).toBe('ok');
  });

  it('when a counter of energy does not count', () => {
    const counter = powerLimits('package', true);
    expect(states([reads(5, counter, 0.5, 100), reads(5, counter, 0.5, 105)])).toEqual(['ok', 'ok']);
    expect(states([reads(5, counter, 0.5, 100), reads(5, counter, 0.5, 100)])).toEqual(['ok', 'frozen']);
  });

  it('when a temperature leaps, but believed when the next ones agree', () => {
    const path = [40, 41, 42, 110, 111, 112, 113].map((tempC) => reads(tempC, TEMPERATURE_LIMITS));
    expect(states(path)).toEqual(['ok', 'ok', 'ok', 'absurd', 'absurd', 'ok', 'ok']);
    const noise = [40, 41, 42, 149, -39, 149, 43].map((tempC) => reads(tempC, TEMPERATURE_LIMITS));
    expect(states(noise).slice(3)).toEqual(['absurd', 'absurd', 'absurd', 'ok']);
  });
});

test('what is read without a number to judge brings a sensor back; what tells nothing yet does not', () => {
  expect(states([failure, { kind: 'not-yet' }, { kind: 'read' }])).toEqual(['missing', 'missing', 'ok']);
});

test('since and reason are those of the state', () => {
  const [, out, still, back] = follow([reads(5), failure, failure, reads(5)]);
  expect(out).toMatchObject({ state: 'missing', sinceMs: 2_000, reason: 'gone' });
  expect(still).toMatchObject({ state: 'missing', sinceMs: 2_000 });
  expect(back).toMatchObject({ state: 'ok', sinceMs: 4_000, reason: '' });
});

test('retries are further and further apart, and close again once the sensor was well for long', () => {
  const waits = (path: readonly Health[]): number[] =>
    path.map(({ retryAtMs }, index) => retryAtMs - (index + 1) * 1_000);
  const path = follow(Array(9).fill(failure));
  expect(waits(path)).toEqual([500, 1_000, 2_000, 4_000, 8_000, 16_000, 30_000, 30_000, 30_000]);
  const flapping = follow([...Array(4).fill(failure), reads(5), failure]);
  expect(flapping.at(-1)?.attempt).toBe(5);
  const lasting = follow([
    ...Array(4).fill(failure),
    ...[1, 2, 3, 4, 5, 6, 7, 8, 9, 10].map((w) => reads(w)),
    failure,
  ]);
  expect(lasting.at(-1)?.attempt).toBe(1);
});

test('a sensor that is out is due at its time, and when time went backwards', () => {
  const health = stepHealth(unreadHealth(0), failure, 5_000, RETRYING);
  expect([5_000, 5_499, 5_500, 4_000].map((nowMs) => isDue(health, nowMs))).toEqual([
    false,
    false,
    true,
    true,
  ]);
});

const anyNumber = fc.oneof(fc.double(), fc.double({ min: 0.1, max: 20, noNaN: true }), fc.constant(5));
const anyOutcome: fc.Arbitrary<Outcome> = fc.oneof(
  {
    arbitrary: fc
      .tuple(anyNumber, fc.option(fc.double(), { nil: undefined }))
      .map(([value, activity]) => reads(value, GAUGE, activity)),
    weight: 4,
  },
  {
    arbitrary: fc.constantFrom<Outcome>(
      failure,
      { kind: 'slow', reason: 's' },
      { kind: 'not-yet' },
      { kind: 'read' },
    ),
    weight: 1,
  },
);

test('whatever is read, a value that is let through is possible, and a state that is not ok has a reason', () => {
  fc.assert(
    fc.property(fc.array(anyOutcome, { maxLength: 60 }), (outcomes) => {
      for (const [index, health] of follow(outcomes).entries()) {
        const outcome = outcomes[index];
        expect(health.reason === '').toBe(health.state === 'ok');
        expect(health.retryAtMs).toBeGreaterThanOrEqual(0);
        expect(health.recent.length).toBeLessThanOrEqual(5);
        expect(health.disputed.length).toBeLessThanOrEqual(3);
        if (health.state !== 'ok' || outcome?.kind !== 'value') continue;
        expect(outcome.value).toBeGreaterThanOrEqual(GAUGE.min);
        expect(outcome.value).toBeLessThanOrEqual(GAUGE.max);
      }
    }),
  );
});

test('whatever was before, a sensor that works again is back at its first different good values', () => {
  fc.assert(
    fc.property(fc.array(anyOutcome, { maxLength: 40 }), (outcomes) => {
      // A factor of a hundred below what a module draws at most is never a jump.
      const before = outcomes.filter((outcome) => outcome.kind !== 'value' || outcome.value >= 5);
      const after = [10.1, 10.2].map((watts) => reads(watts));
      expect(states([...before, ...after]).at(-1)).toBe('ok');
    }),
  );
});
