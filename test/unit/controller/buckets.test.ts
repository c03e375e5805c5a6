import fc from 'fast-check';
import { expect, test } from 'vitest';
import { type Bucketing, bucketAt, edgesOf } from '../../../controller/history/read/buckets.ts';
import { zoneOf } from '../../../shared/zone.ts';
import '../../support/properties.ts';

const HOUR = 3_600_000;
const DAY = 24 * HOUR;
const at = (text: string): number => Date.parse(text);
const iso = (edges: readonly number[]): string[] => edges.map((edge) => new Date(edge).toISOString());
const hoursOf = (edges: readonly number[]): number[] =>
  edges.slice(1).map((edge, index) => (edge - (edges[index] ?? 0)) / HOUR);

const ZONES = [
  'UTC',
  'Europe/Berlin',
  'America/New_York',
  'Asia/Kolkata',
  'Australia/Lord_Howe',
  'America/Havana',
  'Pacific/Apia',
  'Africa/Casablanca',
] as const;
const zones = fc.constantFrom(...ZONES).map(zoneOf);
const bucketings: fc.Arbitrary<Bucketing> = fc.oneof(
  fc.constantFrom({ unit: 'day' as const }, { unit: 'week' as const }, { unit: 'month' as const }),
  fc.constantFrom(60_000, 900_000, HOUR, 6 * HOUR, DAY, 7 * DAY).map((ms) => ({ ms })),
);
const spans = fc
  .tuple(fc.integer({ min: at('2005-01-01'), max: at('2030-01-01') }), fc.integer({ min: 1, max: 5 * DAY }))
  .map(([since, lengthMs]) => ({ since, until: since + lengthMs }));

test('a day of the change of clocks has 23 hours, or 25', () => {
  const zone = zoneOf('Europe/Berlin');
  const spring = edgesOf(
    { since: at('2026-03-28T12:00Z'), until: at('2026-03-30T12:00Z') },
    { unit: 'day' },
    zone,
  );
  expect(iso(spring)).toEqual([
    '2026-03-27T23:00:00.000Z',
    '2026-03-28T23:00:00.000Z',
    '2026-03-29T22:00:00.000Z',
    '2026-03-30T22:00:00.000Z',
  ]);
  const autumn = edgesOf(
    { since: at('2026-10-24T22:30Z'), until: at('2026-10-25T22:30Z') },
    { ms: DAY },
    zone,
  );
  expect(hoursOf(autumn)).toEqual([25]);
});

test('every hour of such a day is an hour, the one that is shown twice too', () => {
  const span = { since: at('2026-10-24T22:00Z'), until: at('2026-10-25T23:00Z') };
  const hours = hoursOf(edgesOf(span, { ms: HOUR }, zoneOf('Europe/Berlin')));
  expect(hours).toEqual(Array.from({ length: 25 }, () => 1));
  const sixHours = hoursOf(edgesOf(span, { ms: 6 * HOUR }, zoneOf('Europe/Berlin')));
  expect(sixHours).toEqual([7, 6, 6, 6]);
});

test('a day begins when the clocks first show it, also where midnight is left out or comes twice', () => {
  // In Havana the clocks go from 00:00 to 01:00, and from 01:00 back to 00:00.
  const havana = zoneOf('America/Havana');
  const days = (since: string, until: string) =>
    iso(edgesOf({ since: at(since), until: at(until) }, { unit: 'day' }, havana));
  expect(days('2026-03-08T12:00Z', '2026-03-08T13:00Z')).toEqual([
    '2026-03-08T05:00:00.000Z',
    '2026-03-09T04:00:00.000Z',
  ]);
  expect(days('2026-11-01T12:00Z', '2026-11-01T13:00Z')).toEqual([
    '2026-11-01T04:00:00.000Z',
    '2026-11-02T05:00:00.000Z',
  ]);
});

test('weeks begin on Monday, months on their first', () => {
  const span = { since: at('2026-02-11T00:00Z'), until: at('2026-03-01T00:00Z') };
  expect(iso(edgesOf(span, { unit: 'week' }, zoneOf('UTC')))[0]).toBe('2026-02-09T00:00:00.000Z');
  expect(iso(edgesOf(span, { unit: 'month' }, zoneOf('UTC')))).toEqual([
    '2026-02-01T00:00:00.000Z',
    '2026-03-01T00:00:00.000Z',
  ]);
});

test('buckets follow each other, contain the span, and none more than it takes', () => {
  const property = fc.property(spans, bucketings, zones, (span, bucketing, zone) => {
    const edges = edgesOf(span, bucketing, zone);
    expect(edges).toEqual([...new Set(edges)].sort((a, b) => a - b));
    expect(edges[0]).toBeLessThanOrEqual(span.since);
    expect(edges[1]).toBeGreaterThan(span.since);
    expect(edges.at(-1)).toBeGreaterThanOrEqual(span.until);
    expect(edges.at(-2)).toBeLessThan(span.until);
  });
  fc.assert(property, { numRuns: 200 });
});

test('the same moment lies in the same bucket, whatever else is asked for', () => {
  const property = fc.property(spans, bucketings, zones, (span, bucketing, zone) => {
    const edges = edgesOf(span, bucketing, zone);
    const middle = span.since + Math.floor((span.until - span.since) / 2);
    const index = bucketAt(edges, middle);
    const alone = edgesOf({ since: middle, until: middle + 1 }, bucketing, zone);
    expect(alone).toEqual(edges.slice(index, index + 2));
  });
  fc.assert(property, { numRuns: 200 });
});

test('without buckets there is one, of the span itself; too many are refused', () => {
  expect(edgesOf({ since: 7, until: 99 }, undefined, zoneOf('UTC'))).toEqual([7, 99]);
  expect(() => edgesOf({ since: 0, until: 1e12 }, { ms: 100 }, zoneOf('UTC'))).toThrow(/longer buckets/);
  expect(() => zoneOf('Europe/Entenhausen')).toThrow(/Europe\/Berlin/);
});
