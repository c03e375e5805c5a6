import fc from 'fast-check';
import { expect, test } from 'vitest';
import { edgesOf } from '../../../controller/history/read/buckets.ts';
import { exportEnd } from '../../../controller/history/read/export.ts';
import {
  type Cells,
  type Filling,
  fillParts,
  fillScope,
  type Stretch,
} from '../../../controller/history/read/fill.ts';
import { planOf, readsOf } from '../../../controller/history/read/plan.ts';
import { scopeOf } from '../../../controller/history/read/scope.ts';
import { createSource } from '../../../controller/history/read/source.ts';
import { extentOf } from '../../../controller/history/read/span.ts';
import { rowOf } from '../../../controller/history/summary/rows.ts';
import { zoneOf } from '../../../shared/zone.ts';
import '../../support/properties.ts';
import { bodyOf, createWorld, DAY_MS, HOUR_MS, MINUTE_MS, pointOf, type World } from './query-world.ts';

const T0 = Date.parse('2026-10-20T00:00Z');
const NOW = T0 + 30 * DAY_MS;

function worldOf(times: readonly number[], rolled: number): World {
  const world = createWorld();
  const windows = times.map((at, index) => ({
    ...{ device: index % 2 === 0 ? 'a' : 'b', at },
    body: bodyOf({ points: [pointOf([index + 1, 1e-9, 1e9])] }),
  }));
  world.add(...windows.slice(0, rolled));
  world.rollUp();
  world.add(...windows.slice(rolled));
  return world;
}

function fillingOf(world: World, change: Partial<Filling> = {}): Filling {
  const source = createSource(world.sqlite);
  const extent = extentOf(source, undefined, NOW);
  return { source, extent, columns: 'latencyMs', budget: { rows: 1e6 }, maxBytes: 1e9, ...change };
}

function stretchOf({ extent }: Filling, since: number, until: number, bucketMs: number): Stretch {
  const edges = edgesOf({ since, until }, { ms: bucketMs }, zoneOf('UTC'));
  const reads = readsOf(planOf({ edges, since, until, horizons: extent.horizons }));
  return { edges, reads, since, until };
}

/** Content of every cell by the begin of its bucket, and how many parts there were. */
function filled(filling: Filling, stretch: Stretch) {
  const scope = scopeOf(filling.source, undefined, () => undefined);
  const parts: (readonly [Stretch, Cells])[] = [
    ...fillParts(stretch, (part) => fillScope(filling, part, scope)),
  ];
  const cells = parts.flatMap(([{ edges }, { summaries }]) =>
    [...summaries].map(([bucket, summary]) => [edges[bucket], rowOf(summary)] as const),
  );
  return {
    parts: parts.length,
    cells: new Map(cells.sort(([a = 0], [b = 0]) => a - b)),
    count: cells.length,
  };
}

test('cells that would take too much memory are filled part by part, and are the same', () => {
  const times = fc.array(fc.integer({ min: T0, max: T0 + 2 * DAY_MS }), { minLength: 2, maxLength: 30 });
  const span = fc.tuple(
    fc.integer({ min: T0 - HOUR_MS, max: T0 + DAY_MS }),
    fc.integer({ min: 1, max: DAY_MS }),
  );
  const bucket = fc.constantFrom(7 * MINUTE_MS, HOUR_MS, 5 * HOUR_MS);
  fc.assert(
    fc.property(times, fc.nat({ max: 30 }), span, bucket, (at, rolled, [since, lengthMs], bucketMs) => {
      using world = worldOf(at, rolled);
      const whole = fillingOf(world);
      const stretch = stretchOf(whole, since, since + lengthMs, bucketMs);
      const atOnce = filled(whole, stretch);
      const inParts = filled(fillingOf(world, { maxBytes: 0 }), stretch);
      expect(atOnce.parts).toBe(1);
      expect(inParts.cells).toEqual(atOnce.cells);
      // Each bucket is in one part.
      expect(inParts.count).toBe(inParts.cells.size);
    }),
    { numRuns: 40 },
  );
});

test('a question that reads too much is refused before it has done so', () => {
  using world = worldOf([T0, T0 + HOUR_MS, T0 + 2 * HOUR_MS], 3);
  const filling = fillingOf(world, { budget: { rows: 2 } });
  const stretch = stretchOf(filling, T0, T0 + DAY_MS, HOUR_MS);
  expect(() => filled(filling, stretch)).toThrow('ask for longer buckets, a shorter time, or fewer devices');
});

test('an export has what is not rolled up yet in its place between the rows', () => {
  const times = fc.array(fc.integer({ min: T0, max: T0 + 30 * HOUR_MS }), { minLength: 1, maxLength: 30 });
  fc.assert(
    fc.property(times, fc.nat({ max: 30 }), fc.integer({ min: 1, max: 4 }), (at, rolled, rows) => {
      const textOf = (world: World): string => {
        const question = {
          table: 'points',
          resolution: 'hour',
          format: 'csv',
          devices: undefined,
          rows,
        } as const;
        let text = '';
        let page = world.core.exportPage({
          ...question,
          since: T0,
          until: NOW,
          cursor: undefined,
          offset: 0,
        });
        for (;;) {
          text += Buffer.from(page.bytes).toString();
          if (page.next === undefined) return text + Buffer.from(exportEnd(question, [], 1)).toString();
          const { next: cursor } = page;
          page = world.core.exportPage({ ...question, since: T0, until: NOW, cursor, offset: text.length });
        }
      };
      using some = worldOf(at, rolled);
      using all = worldOf(at, at.length);
      expect(textOf(some)).toBe(textOf(all));
    }),
    { numRuns: 30 },
  );
});
