import fc from 'fast-check';
import { expect, test } from 'vitest';
import {
  type Horizons,
  planOf,
  RESOLUTIONS,
  ROW_MS,
  readsOf,
  type Segment,
} from '../../../controller/history/read/plan.ts';
import '../../support/properties.ts';

const MINUTE = 60_000;
const HOUR = 60 * MINUTE;
const DAY = 24 * HOUR;
const ALL: Horizons = { raw: 0, minute: 0, hour: 0, day: 0 };

const plans = fc
  .record({
    since: fc.integer({ min: 0, max: 3 * DAY }),
    cuts: fc.array(fc.integer({ min: 1, max: 2 * DAY }), { minLength: 1, maxLength: 6 }),
    unit: fc.constantFrom(1, MINUTE, HOUR),
    raw: fc.integer({ min: 0, max: 8 * DAY }),
    minute: fc.integer({ min: 0, max: 6 * DAY }),
    hour: fc.integer({ min: 0, max: 4 * DAY }),
  })
  .map(({ since, cuts, unit, ...horizons }) => {
    const edges = [Math.floor(since / unit) * unit];
    for (const length of cuts)
      edges.push((edges.at(-1) ?? 0) + Math.max(unit, Math.floor(length / unit) * unit));
    const until = edges.at(-1) ?? 0;
    return { edges, since: edges[0] ?? 0, until, horizons: { ...horizons, day: 0 } };
  });

/** The rows that a plan reads, as [begin, end) each; raw ones as they are. */
function rowsOf(segments: readonly Segment[]) {
  return segments.flatMap((segment) => {
    const length = ROW_MS[segment.resolution];
    if (segment.resolution === 'raw') return [{ ...segment, begin: segment.from, end: segment.to }];
    const rows = [];
    for (let begin = segment.from; begin < segment.to; begin += length) {
      rows.push({ ...segment, begin, end: begin + length });
    }
    return rows;
  });
}

test('no moment is read twice, whatever is kept', () => {
  const property = fc.property(plans, (input) => {
    const rows = rowsOf(planOf(input)).sort((a, b) => a.begin - b.begin);
    const twice = rows.filter(({ begin }, index) => begin < (rows[index - 1]?.end ?? 0));
    expect(twice).toEqual([]);
  });
  fc.assert(property, { numRuns: 200 });
});

test('where everything is kept the span is covered wholly, and each row lies in its bucket', () => {
  const property = fc.property(plans, (input) => {
    const segments = planOf({ ...input, horizons: ALL });
    let at = input.since;
    for (const { from, to, bucket } of segments) {
      expect(from).toBe(at);
      expect(from).toBeGreaterThanOrEqual(input.edges[bucket] ?? 0);
      expect(to).toBeLessThanOrEqual(input.edges[bucket + 1] ?? 0);
      at = to;
    }
    expect(at).toBe(input.until);
  });
  fc.assert(property, { numRuns: 200 });
});

test('every row begins in its bucket and is kept; what fits into no bucket is the finest there is', () => {
  const property = fc.property(plans, (input) => {
    const isRight = ({ resolution, bucket, begin, end }: ReturnType<typeof rowsOf>[number]): boolean => {
      const [from = 0, to = 0] = input.edges.slice(bucket, bucket + 2);
      const finer = RESOLUTIONS[RESOLUTIONS.indexOf(resolution) - 1];
      const isWhole = end <= to;
      const isFinest = finer !== undefined && begin < input.horizons[finer];
      return begin >= Math.max(from, input.horizons[resolution]) && begin < to && (isWhole || isFinest);
    };
    expect(rowsOf(planOf(input)).filter((row) => !isRight(row))).toEqual([]);
  });
  fc.assert(property, { numRuns: 200 });
});

test('where only some are kept, every row that begins in the span is read', () => {
  const horizons = { raw: 9 * DAY, minute: 9 * DAY, hour: 2 * DAY, day: 0 };
  const edges = [0, DAY / 2, DAY, DAY + DAY / 2, 2 * DAY, 2 * DAY + DAY / 2 + MINUTE, 3 * DAY];
  const segments = planOf({ edges, since: 0, until: 3 * DAY, horizons });
  expect(segments).toEqual([
    { resolution: 'day', from: 0, to: DAY, bucket: 0 },
    { resolution: 'day', from: DAY, to: 2 * DAY, bucket: 2 },
    { resolution: 'hour', from: 2 * DAY, to: 2 * DAY + 12 * HOUR, bucket: 4 },
    { resolution: 'hour', from: 2 * DAY + 12 * HOUR, to: 2 * DAY + 13 * HOUR, bucket: 4 },
    { resolution: 'hour', from: 2 * DAY + 13 * HOUR, to: 3 * DAY, bucket: 5 },
  ]);
});

test('long rows are taken where they fit, short ones at the edges', () => {
  const since = DAY - HOUR - MINUTE - 5;
  const until = 2 * DAY + HOUR + MINUTE + 7;
  expect(planOf({ edges: [since, until], since, until, horizons: ALL })).toEqual([
    { resolution: 'raw', from: since, to: DAY - HOUR - MINUTE, bucket: 0 },
    { resolution: 'minute', from: DAY - HOUR - MINUTE, to: DAY - HOUR, bucket: 0 },
    { resolution: 'hour', from: DAY - HOUR, to: DAY, bucket: 0 },
    { resolution: 'day', from: DAY, to: 2 * DAY, bucket: 0 },
    { resolution: 'hour', from: 2 * DAY, to: 2 * DAY + HOUR, bucket: 0 },
    { resolution: 'minute', from: 2 * DAY + HOUR, to: 2 * DAY + HOUR + MINUTE, bucket: 0 },
    { resolution: 'raw', from: 2 * DAY + HOUR + MINUTE, to: until, bucket: 0 },
  ]);
});

test('rows of neighbouring buckets are read in one go', () => {
  const edges = Array.from({ length: 25 }, (_, index) => index * HOUR);
  const segments = planOf({ edges, since: 0, until: DAY, horizons: ALL });
  expect(segments).toHaveLength(24);
  expect(readsOf(segments)).toEqual([{ resolution: 'hour', from: 0, to: DAY }]);
});

test('what is read together is what the segments say', () => {
  const property = fc.property(plans, (input) => {
    const segments = planOf(input);
    const flat = (parts: readonly Omit<Segment, 'bucket'>[]) =>
      rowsOf(parts.map((part) => ({ ...part, bucket: 0 })))
        .filter(({ resolution }) => resolution !== 'raw')
        .map(({ resolution, begin }) => `${begin} ${resolution}`)
        .sort();
    expect(flat(readsOf(segments))).toEqual(flat(segments));
  });
  fc.assert(property, { numRuns: 200 });
});
