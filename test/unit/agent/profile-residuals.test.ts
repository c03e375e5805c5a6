import fc from 'fast-check';
import { describe, expect, test } from 'vitest';
import { type ResidualWatch, residualWatch } from '../../../agent/profile/residual-watch.ts';
import { seededRandom } from '../../../shared/random.ts';

const POINTS = 4;
const FRAME_MS = 40;
const MINUTE_MS = 60_000;

interface Run {
  readonly fromMs?: number;
  readonly minutes: number;
  /** Ratio of a point at a time. */
  readonly ratio: (point: number, atMs: number) => number;
  readonly calm?: (atMs: number) => boolean;
  readonly points?: readonly number[];
}

/** Frames at 25 a second, in bouts of 100 of each point. */
function feed(
  watch: ResidualWatch,
  { fromMs = 0, minutes, ratio, calm = () => true, points = [0, 1, 2, 3] }: Run,
): void {
  const frames = (minutes * MINUTE_MS) / FRAME_MS;
  for (let frame = 0; frame < frames; frame += 1) {
    const nowMs = fromMs + frame * FRAME_MS;
    const point = points[Math.floor(frame / 100) % points.length] ?? 0;
    watch.observe({ point, ratio: ratio(point, nowMs), calm: calm(nowMs), nowMs });
  }
}

/** Latencies as machines have them: spread, and one in 20 several times as long. */
function noise(seed: number, spread = 0.05): () => number {
  const random = seededRandom(seed);
  return () => Math.exp(spread * random.normal()) * (random.below(20) === 0 ? 1 + random.below(4) : 1);
}

describe('a profile that fits', () => {
  test('is not doubted for an hour of noise', () => {
    fc.assert(
      fc.property(fc.integer({ min: 1, max: 1_000 }), (seed) => {
        const watch = residualWatch(POINTS);
        feed(watch, { minutes: 60, ratio: noise(seed, seed % 2 === 0 ? 0.05 : 0.2) });
        expect(watch.misfit()).toBeUndefined();
      }),
      { numRuns: 5 },
    );
  });

  test('is not doubted for what contention does, however long', () => {
    const watch = residualWatch(POINTS);
    feed(watch, { minutes: 60, ratio: () => 3, calm: () => false });
    expect(watch.misfit()).toBeUndefined();
  });

  test('is not doubted for a minute of trouble in calm times, nor for points that are 10 % off', () => {
    const watch = residualWatch(POINTS);
    feed(watch, { minutes: 20, ratio: () => 1 });
    feed(watch, { fromMs: 20 * MINUTE_MS, minutes: 1, ratio: () => 2 });
    feed(watch, { fromMs: 21 * MINUTE_MS, minutes: 20, ratio: (point) => (point === 2 ? 1.1 : 1) });
    expect(watch.misfit()).toBeUndefined();
  });
});

describe('a profile that no longer fits', () => {
  test('is told by one point that is slower than the others', () => {
    const watch = residualWatch(POINTS);
    const next = noise(7);
    feed(watch, { minutes: 15, ratio: (point) => next() * (point === 2 ? 1.4 : 1) });
    expect(watch.misfit()).toMatchObject({ kind: 'point', point: 2, ratio: expect.closeTo(1.4, 1) });
  });

  test.each([
    ['slower', 1.3],
    ['faster', 0.7],
  ])('is told by all of them being %s', (_, ratio) => {
    const watch = residualWatch(POINTS);
    const next = noise(11);
    feed(watch, { minutes: 15, ratio: () => next() * ratio });
    const misfit = watch.misfit();
    expect(misfit?.kind).toBe('floor');
    expect(Math.abs(Math.log((misfit?.ratio ?? 1) / ratio))).toBeLessThan(0.15);
  });

  test('is told by its floor where only one point is ever used', () => {
    const watch = residualWatch(POINTS);
    feed(watch, { minutes: 10, ratio: () => 1.5, points: [1] });
    expect(watch.misfit()).toMatchObject({ kind: 'floor' });
  });

  test('is not told before it has lasted, and is forgotten when there is a new one', () => {
    const watch = residualWatch(POINTS, { holdMs: 2 * MINUTE_MS });
    feed(watch, { minutes: 1.5, ratio: () => 2 });
    expect(watch.misfit()).toBeUndefined();
    feed(watch, { fromMs: 1.5 * MINUTE_MS, minutes: 2, ratio: () => 2 });
    expect(watch.misfit()).toMatchObject({ kind: 'floor' });
    watch.reset();
    expect(watch.misfit()).toBeUndefined();
    feed(watch, { fromMs: 4 * MINUTE_MS, minutes: 10, ratio: () => 1 });
    expect(watch.misfit()).toBeUndefined();
  });

  test('is not told again for what a new measurement does not change, but for more than that', () => {
    const watch = residualWatch(POINTS);
    // Frames come faster than runs were measured, so that caches stay warm.
    const ratio = (point: number): number => (point === 0 ? 0.5 : 0.7);
    feed(watch, { minutes: 20, ratio });
    expect(watch.misfit()).toMatchObject({ kind: 'point', point: 0 });
    watch.reset();
    feed(watch, { fromMs: 20 * MINUTE_MS, minutes: 20, ratio });
    expect(watch.misfit()).toMatchObject({ kind: 'floor' });
    watch.reset();
    feed(watch, { fromMs: 40 * MINUTE_MS, minutes: 60, ratio });
    expect(watch.misfit()).toBeUndefined();
    feed(watch, { fromMs: 100 * MINUTE_MS, minutes: 20, ratio: () => 1.5 });
    expect(watch.misfit()).toMatchObject({ kind: 'floor' });
  });
});

test('whatever comes in, it neither throws nor tells a ratio that is no number', () => {
  const number = fc.oneof(fc.double(), fc.constantFrom(Number.NaN, 0, -1, Number.POSITIVE_INFINITY));
  const seen = fc.record({
    point: fc.integer({ min: -2, max: 9 }),
    ratio: number,
    calm: fc.boolean(),
    nowMs: number,
  });
  fc.assert(
    fc.property(fc.array(seen, { maxLength: 200 }), (all) => {
      const watch = residualWatch(POINTS, { holdMs: 0 });
      for (const each of all) watch.observe(each);
      const misfit = watch.misfit();
      expect(misfit === undefined || Number.isFinite(misfit.ratio)).toBe(true);
    }),
  );
});
