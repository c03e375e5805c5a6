import fc from 'fast-check';
import { describe, expect, test } from 'vitest';
import { type AggregationPlan, createAggregation } from '../../../controller/history/aggregate.ts';
import { aggregateOf, checkSplit } from '../../../controller/history/metrics.ts';
import type { StoredWindow } from '../../../controller/history/window-store.ts';
import { pointOf } from '../../support/controller.ts';

function stored(change: Partial<StoredWindow> = {}): StoredWindow {
  return {
    device: 'a',
    ts: 1_000,
    durationMs: 10_000,
    switches: 0,
    sheds: 0,
    skipped: 0,
    unreadable: 0,
    failed: 0,
    slowdown: 1,
    price: null,
    points: [],
    ...change,
  };
}

function seriesOf(plan: Partial<AggregationPlan>, windows: readonly StoredWindow[]) {
  const aggregation = createAggregation({
    metric: 'latencyMs',
    aggregate: { kind: 'mean' },
    by: undefined,
    since: 0,
    until: 1_000_000,
    bucketMs: undefined,
    ...plan,
  });
  for (const window of windows) aggregation.add(window);
  return aggregation.series();
}

function singleValue(plan: Partial<AggregationPlan>, windows: readonly StoredWindow[]): number | undefined {
  return seriesOf(plan, windows)[0]?.points[0]?.value;
}

const latencies = fc.array(fc.double({ min: 0.01, max: 10_000, noNaN: true }), {
  minLength: 1,
  maxLength: 60,
});

test('a percentile over many windows is that of all values within 1 %, and exact at its ends', () => {
  fc.assert(
    fc.property(
      fc.array(latencies, { minLength: 1, maxLength: 20 }),
      fc.constantFrom(0, 0.25, 0.5, 0.9, 0.99, 1),
      (batches, quantile) => {
        const windows = batches.map((values, index) =>
          stored({ device: `d${index % 3}`, points: [pointOf(values)] }),
        );
        const value = singleValue({ aggregate: { kind: 'percentile', quantile } }, windows) ?? Number.NaN;
        const sorted = batches.flat().sort((a, b) => a - b);
        const rank = Math.floor(quantile * (sorted.length - 1));
        const exact = sorted[rank] ?? Number.NaN;
        const tolerance = quantile === 0 || quantile === 1 ? 0 : 0.010_001;
        expect(Math.abs(value - exact)).toBeLessThanOrEqual(exact * tolerance);
      },
    ),
  );
});

test('a mean weighs every inference alike', () => {
  const windows = [stored({ points: [pointOf([10, 10, 10])] }), stored({ points: [pointOf([50])] })];
  expect(singleValue({}, windows)).toBe(20);
});

test('a gap has no point, and an idle window counts zero', () => {
  const windows = [
    stored({ ts: 500, points: [pointOf([1, 1])] }),
    stored({ ts: 2_500 }),
    stored({ ts: 5_999, points: [pointOf([1])] }),
  ];
  const plan = { bucketMs: 1_000, metric: 'inferences', aggregate: { kind: 'sum' } } as const;
  expect(seriesOf(plan, windows)[0]?.points).toEqual([
    { ts: 0, value: 2, count: 1 },
    { ts: 2_000, value: 0, count: 1 },
    { ts: 5_000, value: 1, count: 1 },
  ]);
  const latency = seriesOf({ bucketMs: 1_000 }, windows)[0]?.points.map(({ ts }) => ts);
  expect(latency).toEqual([0, 5_000]);
});

test('a rate is per reported second, summed over devices', () => {
  const ten = Array.from({ length: 10 }, () => 1);
  const windows = [
    stored({ device: 'a', points: [pointOf(ten)] }),
    stored({ device: 'b', durationMs: 5_000, points: [pointOf(ten)] }),
    stored({ device: 'b', ts: 900_000, durationMs: 5_000, points: [pointOf(ten)] }),
  ];
  expect(singleValue({ metric: 'inferences', aggregate: { kind: 'rate' } }, windows)).toBeCloseTo(1 + 2);
});

test('accuracy, share of misses and level are weighted by what they are shares of', () => {
  const windows = [
    stored({
      points: [
        pointOf([1, 1, 1, 1], { level: 0, labelled: 4, correct: 1, misses: 0 }),
        pointOf([1], { level: 3, labelled: 1, correct: 1, misses: 1 }),
      ],
    }),
    stored({ points: [pointOf([1, 1, 1, 1, 1], { level: 1, labelled: 0, correct: 0 })] }),
  ];
  expect(singleValue({ metric: 'accuracy' }, windows)).toBe(0.4);
  expect(singleValue({ metric: 'missShare' }, windows)).toBe(0.1);
  expect(singleValue({ metric: 'level' }, windows)).toBe(0.8);
  const shares = seriesOf({ metric: 'share', by: 'level' }, windows);
  expect(shares.map(({ key, points }) => [key, points[0]?.value])).toEqual([
    ['0', 0.4],
    ['1', 0.5],
    ['3', 0.1],
  ]);
});

test('an answer that would be too large is refused with advice', () => {
  const windows = Array.from({ length: 20_001 }, (_, index) => stored({ ts: index * 100 }));
  const plan = { bucketMs: 100, metric: 'windows', aggregate: { kind: 'count' } } as const;
  expect(() => seriesOf(plan, windows)).toThrow(/more than 20000 points.*longer than 100 ms/);
});

test.each([
  { metric: 'accuracy', aggregate: { kind: 'mean' } },
  { metric: 'inferences', aggregate: { kind: 'rate' } },
] as const)('what has to be kept for $metric is bounded although the answer is small', (plan) => {
  const aggregation = createAggregation({ ...plan, by: undefined, since: 0, until: 1e12, bucketMs: 1_000 });
  const add = () => {
    // Idle windows in ever new buckets, and for the rate of ever new devices in one.
    for (let n = 0; n < 500_001; n += 1) {
      const ts = plan.metric === 'accuracy' ? n * 1_000 : 0;
      aggregation.add(stored({ ts, device: `d${n}` }));
    }
  };
  expect(add).toThrow(/longer than 1000 ms/);
});

describe('what is made of a metric', () => {
  test.each([
    ['latencyMs', 'mean'],
    ['accuracy', 'mean'],
    ['inferences', 'sum'],
    ['switches', 'sum'],
    ['slowdown', 'mean'],
    ['windows', 'count'],
  ] as const)('%s is by default its %s', (metric, name) => {
    expect(aggregateOf(metric, undefined).name).toBe(name);
  });

  test.each([
    ['accuracy', 'p99'],
    ['windows', 'mean'],
    ['slowdown', 'rate'],
  ] as const)('%s has no %s', (metric, name) => {
    expect(() => aggregateOf(metric, name)).toThrow(/makes no sense/);
  });

  test('a percentile is read with its fraction', () => {
    const { aggregate } = aggregateOf('latencyMs', 'p99.9');
    expect(aggregate.kind === 'percentile' ? aggregate.quantile : undefined).toBeCloseTo(0.999);
  });

  test('what a window states as a whole is not known by level', () => {
    expect(() => checkSplit('switches', 'level')).toThrow(/not known by level/);
    expect(() => checkSplit('share', 'device')).toThrow(/by level/);
  });
});
