import fc from 'fast-check';
import { expect, test } from 'vitest';
import { mergeRow, rowOf, summaryOfRow } from '../../../controller/history/summary/rows.ts';
import {
  emptySummary,
  mergeSummary,
  type PointSummary,
  type Summary,
  summaryOfWindow,
} from '../../../controller/history/summary/summary.ts';
import { DISTRIBUTIONS, type DistributionName } from '../../../shared/protocol/window.ts';
import { contentOf, pointWindow, windowBody, windows } from '../../support/summaries.ts';

const summaries = fc.array(windows(12), { maxLength: 4 }).map((bodies) => {
  const sum = emptySummary();
  for (const body of bodies) mergeSummary(sum, summaryOfWindow(body, 0));
  return sum;
});

/** What can be compared with sketches left out. */
function numbersOf({ points, ...rest }: Summary): unknown {
  const plain = [...points].map(([key, { dist, ...point }]) => ({
    key,
    ...point,
    dist: DISTRIBUTIONS.map((name) => ({ ...dist[name], sketch: undefined })),
  }));
  return { ...rest, points: plain.sort((a, b) => (a.key < b.key ? -1 : 1)) };
}

/** What is read of a summary for one distribution. */
function onlyOf(summary: Summary, wanted: DistributionName): Summary {
  const points = [...summary.points].map(([key, point]): [string, PointSummary] => {
    const { [wanted]: of } = point.dist;
    return [key, { ...point, dist: of === undefined ? {} : { [wanted]: of } }];
  });
  return { ...summary, gauges: new Map(), points: new Map(points) };
}

test('a row gives back exactly the summary that it was made of', () => {
  fc.assert(
    fc.property(summaries, (summary) => {
      const again = summaryOfRow(rowOf(summary), 'all');
      expect(numbersOf(again)).toEqual(numbersOf(summary));
      expect(rowOf(again)).toEqual(rowOf(summary));
    }),
    { numRuns: 50 },
  );
});

test('any number lies in a row exactly', () => {
  const number = fc.oneof(fc.double({ noNaN: true }), fc.integer(), fc.maxSafeNat());
  fc.assert(
    fc.property(number, number, number, (sumMs, min, max) => {
      const summary = emptySummary();
      summary.gauges.set('tempC', { sumMs: sumMs + 0, ms: 1, min: min + 0, max: max + 0 });
      expect(summaryOfRow(rowOf(summary), 'all').gauges).toEqual(summary.gauges);
    }),
  );
});

test('adding a row is merging its summary', () => {
  fc.assert(
    fc.property(summaries, summaries, (a, b) => {
      const direct = summaryOfRow(rowOf(a), 'all');
      mergeRow(direct, rowOf(b), 'all');
      mergeSummary(a, b);
      expect(contentOf(direct)).toEqual(contentOf(a));
    }),
    { numRuns: 50 },
  );
});

test('of the sketches only the wanted ones are decoded, and only their column is needed', () => {
  fc.assert(
    fc.property(
      summaries,
      fc.option(fc.constantFrom(...DISTRIBUTIONS), { nil: undefined }),
      (summary, wanted) => {
        const { body, latency, slowdown, queue, energy } = rowOf(summary);
        const columns = {
          latencyMs: { latency },
          slowdown: { slowdown },
          queueMs: { queue },
          energyJ: { energy },
        };
        const read = summaryOfRow({ body, ...(wanted === undefined ? {} : columns[wanted]) }, wanted);
        expect(numbersOf(read)).toEqual(numbersOf(wanted === undefined ? summary : onlyOf(summary, wanted)));
        for (const { dist } of read.points.values()) {
          for (const name of DISTRIBUTIONS) {
            expect(dist[name]?.sketch.count).toBe(name === wanted ? dist[name]?.count : dist[name] && 0);
          }
        }
      },
    ),
    { numRuns: 50 },
  );
});

test('a summary without values of a kind has no column of it', () => {
  const row = rowOf(summaryOfWindow(windowBody({ points: [pointWindow([1])] }), 0));
  expect(row.latency).toBeInstanceOf(Uint8Array);
  expect(row).toMatchObject({ slowdown: null, queue: null, energy: null });
});

test('a sketch that is cut short is refused', () => {
  const { latency, ...row } = rowOf(summaryOfWindow(windowBody({ points: [pointWindow([1, 5, 9])] }), 0));
  const cut = latency?.subarray(0, 2) ?? null;
  expect(() => summaryOfRow({ ...row, latency: cut }, 'all')).toThrow('sketch: ');
});
