import fc from 'fast-check';
import { expect, test } from 'vitest';
import { backoffMs, type Loop, supervise } from '../../../shared/backoff.ts';
import type { Clock } from '../../../shared/clock.ts';
import { manualClock } from '../../support/clock.ts';

const policy = { firstMs: 1_000, capMs: 60_000 };
const half = (): number => 0.5;

test('a delay is never negative and stays below the cap and below the first delay doubled per attempt', () => {
  const attempts = fc.nat({ max: 10_000 });
  const randoms = fc.double({ min: 0, max: 1, maxExcluded: true, noNaN: true });
  fc.assert(
    fc.property(attempts, randoms, (attempt, random) => {
      const delay = backoffMs(attempt, policy, () => random);
      return delay >= 0 && delay < policy.capMs && delay < policy.firstMs * 2 ** attempt;
    }),
  );
});

test('the first delay is jittered too', () => {
  expect(backoffMs(0, policy, () => 0)).toBe(0);
  expect(backoffMs(0, policy, () => 0.25)).toBe(250);
});

test('the ceiling doubles with every attempt until the cap', () => {
  const ceilings = [0, 1, 2, 5, 6, 7, 1_000].map((attempt) => backoffMs(attempt, policy, half) * 2);
  expect(ceilings).toEqual([1_000, 2_000, 4_000, 32_000, 60_000, 60_000, 60_000]);
});

/** Supervises a loop under a manual clock; `starts` and `faults` tell what happened so far. */
function watch(loop: (clock: Clock, signal: AbortSignal) => Promise<void>) {
  const clock = manualClock();
  const stop = new AbortController();
  const starts: number[] = [];
  const faults: [unknown, number][] = [];
  const counted: Loop = async (signal) => {
    starts.push(clock.monoMs());
    await loop(clock, signal);
  };
  const done = supervise(counted, stop.signal, {
    clock,
    random: half,
    policy,
    onFault: (error, count) => faults.push([error, count]),
  });
  return { clock, stop, starts, faults, done };
}

test('a loop that throws is reported and started again after growing delays', async () => {
  const watched = watch(async () => {
    throw new Error('broken');
  });
  await watched.clock.advance(500 + 1_000 + 2_000);
  expect(watched.starts).toEqual([0, 500, 1_500, 3_500]);
  expect(watched.faults.map(([, count]) => count)).toEqual([1, 2, 3, 4]);
  expect(watched.faults[0]?.[0]).toEqual(new Error('broken'));
  watched.stop.abort();
  await watched.done;
});

test('the delays start afresh after a run that was longer than the cap', async () => {
  let runs = 0;
  const watched = watch(async (clock, signal) => {
    runs += 1;
    if (runs === 3) await clock.sleep(policy.capMs + 1, signal);
    throw new Error('broken');
  });
  await watched.clock.advance(1_500);
  expect(watched.starts).toEqual([0, 500, 1_500]);
  await watched.clock.advance(policy.capMs + 1 + 500);
  expect(watched.starts).toHaveLength(4);
  expect(watched.starts[3]).toBe(1_500 + policy.capMs + 1 + 500);
  watched.stop.abort();
  await watched.done;
});

test('a loop that returns is not started again', async () => {
  const watched = watch(async () => undefined);
  await watched.done;
  expect(watched.starts).toHaveLength(1);
  expect(watched.faults).toEqual([]);
});

test('aborting ends the wait before the next start at once, and is no fault', async () => {
  const watched = watch(async (clock, signal) => {
    await clock.sleep(10_000, signal);
    throw new Error('broken');
  });
  await watched.clock.advance(10_000);
  expect(watched.faults).toHaveLength(1);
  watched.stop.abort();
  await watched.done;
  expect(watched.starts).toHaveLength(1);
  expect(watched.clock.sleeping()).toBe(0);
});

test('an exception of a loop that was told to stop is no fault', async () => {
  const watched = watch((clock, signal) => clock.sleep(10_000, signal));
  await watched.clock.advance(1);
  watched.stop.abort(new Error('stop'));
  await watched.done;
  expect(watched.faults).toEqual([]);
});
