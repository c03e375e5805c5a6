import fc from 'fast-check';
import { expect, test } from 'vitest';
import { FLAGS } from '../../../controller/history/schema.ts';
import {
  addWindow,
  emptySummary,
  isOther,
  MAX_POINTS,
  mergeSummary,
  OTHER_FAMILY,
  type Summary,
  summaryOfWindow,
} from '../../../controller/history/summary/summary.ts';
import type { WindowBody } from '../../../shared/protocol/window.ts';
import { contentOf, distributionOf, pointWindow, windowBody, windows } from '../../support/summaries.ts';

function merged(...parts: readonly Summary[]): Summary {
  const sum = emptySummary();
  for (const part of parts) mergeSummary(sum, part);
  return sum;
}

const flags = fc.constantFrom(0, FLAGS.redated, FLAGS.late, FLAGS.redated | FLAGS.late);
/** Windows of up to 40 points: a few of them have more than a summary keeps apart. */
const summaries = fc
  .array(fc.tuple(windows(40), flags), { maxLength: 4 })
  .map((all) => merged(...all.map(([body, flag]) => summaryOfWindow(body, flag))));

test('summaries merge to the same in any order, also where there are too many points to keep apart', () => {
  fc.assert(
    fc.property(summaries, summaries, summaries, (a, b, c) => {
      const inOrder = contentOf(merged(merged(a, b), c));
      expect(contentOf(merged(a, merged(b, c)))).toEqual(inOrder);
      expect(contentOf(merged(c, b, a))).toEqual(inOrder);
      expect(contentOf(merged(merged(a, b, c), emptySummary()))).toEqual(inOrder);
    }),
    { numRuns: 30 },
  );
});

test('merging leaves what is merged as it was, and shares nothing with it', () => {
  fc.assert(
    fc.property(summaries, summaries, (a, b) => {
      const before = contentOf(b);
      const sum = merged(b);
      mergeSummary(sum, a);
      expect(contentOf(b)).toEqual(before);
    }),
    { numRuns: 20 },
  );
});

test('a window is added as its summary would be merged', () => {
  fc.assert(
    fc.property(summaries, windows(), flags, (summary, body, flag) => {
      const direct = merged(summary);
      addWindow(direct, body, flag);
      expect(contentOf(direct)).toEqual(contentOf(merged(summary, summaryOfWindow(body, flag))));
    }),
    { numRuns: 30 },
  );
});

test('a summary holds no more points than allowed, and none of their inferences is lost', () => {
  const inventive = Array.from({ length: 30 }, (_, family) =>
    windowBody({
      family: family.toString(16).padStart(64, '0').replace(/^0/, 'e'),
      points: Array.from({ length: 10 }, (__, level) => pointWindow([level + 1], { level, pe: 'gpu' })),
    }),
  );
  const summary = merged(...inventive.map((body) => summaryOfWindow(body, 0)));
  const points = [...summary.points.values()];
  expect(points.filter((point) => !isOther(point))).toHaveLength(MAX_POINTS);
  const others = points.filter(isOther);
  expect(others).toMatchObject([{ family: OTHER_FAMILY, pe: 'gpu', inferences: 300 - MAX_POINTS }]);
  expect(others[0]?.dist.latencyMs?.sketch.count).toBe(300 - MAX_POINTS);
  // The low levels are the real ones.
  expect(points.filter(({ level }) => level === 0)).toHaveLength(30);
});

test('percentiles of merged windows are within one percent of the exact value of their rank', () => {
  const latency = fc.double({ min: 1e-3, max: 1e6, noNaN: true });
  const parts = fc.array(fc.array(latency, { minLength: 1, maxLength: 50 }), { minLength: 1, maxLength: 8 });
  fc.assert(
    fc.property(parts, fc.double({ min: 0, max: 1, noNaN: true }), (values, q) => {
      const bodies = values.map((part) => windowBody({ points: [pointWindow(part)] }));
      const [point] = merged(...bodies.map((body) => summaryOfWindow(body, 0))).points.values();
      const sorted = values.flat().sort((a, b) => a - b);
      const exact = sorted[Math.floor(1 + q * (sorted.length - 1)) - 1] ?? Number.NaN;
      const found = point?.dist.latencyMs?.sketch.quantile(q) ?? Number.NaN;
      expect(Math.abs(found - exact) / exact).toBeLessThanOrEqual(0.01 + 1e-9);
    }),
  );
});

test('a summary says of a window what the window said', () => {
  const body: WindowBody = windowBody({
    points: [
      pointWindow([10, 30], {
        misses: 1,
        labelled: 2,
        correct: 1,
        timeMs: 9_000,
        confidenceSum: 1.5,
        audits: 1,
        agreed: 1,
        energyJ: distributionOf([0.5]),
        queueMs: distributionOf([]),
      }),
    ],
    switches: 1,
    skipped: 2,
    unreadable: 3,
    failed: 4,
    sheds: 5,
    slowdown: 1.25,
    price: 2,
    energyJ: 80,
    energyMs: 8_000,
    energyQuality: 'modelled',
    gauges: { powerW: { mean: 10, min: 5, max: 15, ms: 8_000 }, tempC: { mean: 0, min: 0, max: 0, ms: 0 } },
    drifting: true,
    requirement: { latencyMs: 50, missShare: 0.1, accuracyFloor: 0.7, powerW: 9, energyJ: 1, tempC: 80 },
  });
  const { points, gauges, ...counters } = summaryOfWindow(body, FLAGS.redated | FLAGS.late);
  expect(counters).toEqual({
    windows: 1,
    coveredMs: 10_000,
    redated: 1,
    late: 1,
    switches: 1,
    skipped: 2,
    unreadable: 3,
    failed: 4,
    sheds: 5,
    energyJ: 80,
    energyMs: 8_000,
    measuredMs: 0,
    modelledMs: 8_000,
  });
  const [point] = points.values();
  expect(point).toMatchObject({
    inferences: 2,
    confidenceSum: 1.5,
    confidenceCount: 2,
    audits: 1,
    agreed: 1,
  });
  expect(point?.dist.latencyMs).toMatchObject({ count: 2, sum: 40, min: 10, max: 30 });
  expect(Object.keys(point?.dist ?? {})).toEqual(['latencyMs', 'energyJ']);
  const means = [...gauges].map(([name, { sumMs, ms }]) => [name, sumMs / ms, ms]);
  expect(Object.fromEntries(means.map(([name, mean, ms]) => [name, [mean, ms]]))).toEqual({
    powerW: [10, 8_000],
    managerSlowdown: [1.25, 10_000],
    price: [2, 10_000],
    drifting: [1, 10_000],
    budgetLatencyMs: [50, 10_000],
    budgetMissShare: [0.1, 10_000],
    budgetAccuracyFloor: [0.7, 10_000],
    budgetPowerW: [9, 10_000],
    budgetEnergyJ: [1, 10_000],
    budgetTempC: [80, 10_000],
  });
});

test('energy whose time is not told counts for all of the window, and none counts for no time', () => {
  const known = summaryOfWindow(windowBody({ energyJ: 20, energyQuality: 'measured' }), 0);
  expect(known).toMatchObject({ energyJ: 20, energyMs: 10_000, measuredMs: 10_000, modelledMs: 0 });
  const unknown = summaryOfWindow(windowBody({ energyQuality: 'unknown' }), 0);
  expect(unknown).toMatchObject({ energyJ: 0, energyMs: 0, measuredMs: 0, modelledMs: 0 });
});
