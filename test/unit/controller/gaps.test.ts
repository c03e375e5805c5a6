import fc from 'fast-check';
import { expect, test } from 'vitest';
import { countOutside } from '../../../controller/history/read/gap-source.ts';
import { holesOf } from '../../../controller/history/read/gaps.ts';
import '../../support/properties.ts';
import { createWorld } from './query-world.ts';

const T0 = Date.parse('2026-10-20T00:00Z');
const A = '0000aaaa-0001';
const B = '0000aaaa-0002';
const ALL = { devices: undefined, since: 0, until: Number.MAX_SAFE_INTEGER, limit: 100 };

test('holes and ranges together are all numbers, each once', () => {
  const ranges = fc.array(
    fc
      .tuple(fc.integer({ min: 1, max: 60 }), fc.integer({ min: 0, max: 9 }))
      .map(([from, length]): [number, number] => [from, from + length]),
  );
  const property = fc.property(ranges, fc.integer({ min: 0, max: 80 }), (all, last) => {
    const sorted = all.toSorted(([a], [b]) => a - b);
    const within = (ranges: readonly (readonly [number, number])[], seq: number) =>
      ranges.some(([from, to]) => from <= seq && seq <= to);
    const holes = [...holesOf(sorted, last)];
    const end = sorted.reduce((max, [, to]) => Math.max(max, to), last);
    for (let seq = 1; seq <= end; seq += 1) expect(within(holes, seq)).toBe(!within(all, seq));
    expect(holes.every(([, to]) => to <= end)).toBe(true);
  });
  fc.assert(property, { numRuns: 200 });
});

test('of losses that overlap every number counts once, and none that came in', () => {
  const piece = fc.tuple(fc.integer({ min: 1, max: 60 }), fc.integer({ min: 0, max: 9 }));
  const property = fc.property(
    fc.array(piece),
    fc.uniqueArray(fc.integer({ min: 1, max: 75 })),
    (pieces, came) => {
      const lost = pieces.map(([from, length]): [number, number] => [from, from + length]);
      const seen = came.toSorted((a, b) => a - b).map((seq): [number, number] => [seq, seq]);
      const numbers = Array.from({ length: 80 }, (_, seq) => seq);
      const expected = numbers.filter(
        (seq) => lost.some(([from, to]) => from <= seq && seq <= to) && !came.includes(seq),
      );
      expect(countOutside(lost, seen)).toBe(expected.length);
    },
  );
  fc.assert(property, { numRuns: 300 });
});

test('what a device counted as lost is told apart from what is only missing', () => {
  using world = createWorld();
  world.addBoot('a', {
    bootId: A,
    firstTs: T0,
    seen: [
      [1, 4],
      [10, 20],
      [25, 30],
    ],
  });
  world.addBoot('a', {
    bootId: B,
    firstTs: T0 + 1_000,
    seen: [[1, 3]],
    previous: { bootId: A, lastSeq: 33 },
  });
  const gap = { kind: 'gap', bootId: A, from: 5, to: 9, records: 5, reason: 'outbox full' } as const;
  world.addEvent('a', T0 + 2_000, gap);
  expect(world.core.gaps(ALL)).toEqual([
    {
      device: 'a',
      bootId: A,
      from: 5,
      to: 9,
      records: 5,
      ts: T0 + 2_000,
      state: 'counted',
      reason: 'outbox full',
    },
    expect.objectContaining({ bootId: A, from: 31, to: 33, records: 3, ts: T0, state: 'missing' }),
    expect.objectContaining({ bootId: A, from: 21, to: 24, records: 4, ts: T0, state: 'missing' }),
  ]);
  expect(world.core.gaps({ ...ALL, limit: 1 })).toHaveLength(1);
  expect(world.core.gaps({ ...ALL, devices: ['b'] })).toEqual([]);
  expect(world.core.gaps({ ...ALL, since: T0 + 1_500 })).toMatchObject([{ state: 'counted' }]);
});

test('a boot of which nothing came in is missing as a whole', () => {
  using world = createWorld();
  world.addBoot('a', { bootId: B, firstTs: T0, seen: [[1, 3]], previous: { bootId: A, lastSeq: 7 } });
  expect(world.core.gaps(ALL)).toMatchObject([{ bootId: A, from: 1, to: 7, records: 7, state: 'missing' }]);
});
