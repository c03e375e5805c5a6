import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { timeTicks } from '../../../controller/cli/time-ticks.ts';
import { parseTime } from '../../../shared/cli/values.ts';
import { formatTimeIn, localZone, offsetMsAt, parseZone, wallTime } from '../../../shared/cli/zone.ts';

const HOUR_MS = 3_600_000;
const BERLIN = 'Europe/Berlin';
const ZONES = ['UTC', BERLIN, 'America/New_York', 'Asia/Kolkata', 'Australia/Lord_Howe', 'Pacific/Apia'];

describe('times of a zone', () => {
  it('are written with the offset that the zone has then, and read back as the same time', () => {
    expect(formatTimeIn(Date.parse('2026-01-15T12:00:00Z'), BERLIN)).toBe('2026-01-15T13:00:00.000+01:00');
    expect(formatTimeIn(Date.parse('2026-07-15T12:00:00Z'), BERLIN)).toBe('2026-07-15T14:00:00.000+02:00');
    expect(formatTimeIn(Date.parse('2026-01-15T12:00:00Z'), 'UTC')).toBe('2026-01-15T12:00:00.000Z');
    const since1980 = fc.integer({ min: 315_532_800_000, max: 4_102_444_800_000 });
    fc.assert(
      fc.property(since1980, fc.constantFrom(...ZONES), (ts, zone) => {
        expect(Date.parse(formatTimeIn(ts, zone))).toBe(ts);
        expect(Math.abs(wallTime(ts + offsetMsAt(ts, zone), zone) - ts)).toBeLessThanOrEqual(HOUR_MS);
      }),
    );
  });

  it('are unambiguous where clocks are set: the first of two, and none that is skipped', () => {
    expect(formatTimeIn(wallTime(Date.parse('2026-10-25T02:30:00Z'), BERLIN), BERLIN)).toContain('+02:00');
    const skipped = wallTime(Date.parse('2026-03-29T02:30:00Z'), BERLIN);
    expect(formatTimeIn(skipped, BERLIN)).toMatch(/^2026-03-29T03:30/);
  });

  it('are meant by dates that do not say a zone', () => {
    const parsed = (text: string): string => new Date(parseTime(text, 0, '--since', BERLIN)).toISOString();
    expect(parsed('2026-07-15')).toBe('2026-07-14T22:00:00.000Z');
    expect(parsed('2026-01-15T12:00')).toBe('2026-01-15T11:00:00.000Z');
    expect(parsed('2026-01-15T12:00Z')).toBe('2026-01-15T12:00:00.000Z');
    expect(parsed('2026-01-15T12:00-05:00')).toBe('2026-01-15T17:00:00.000Z');
    expect(() => parsed('2026-13-15')).toThrow('is not a date');
  });

  it('are refused for a zone that is none', () => {
    expect(parseZone(BERLIN, '--time-zone')).toBe(BERLIN);
    expect(() => parseZone('Berlin', '--time-zone')).toThrow(
      "--time-zone: 'Berlin' is not a time zone; write for example UTC or Europe/Berlin",
    );
    expect(parseZone(localZone(), 'here')).toBe(localZone());
  });
});

describe('ticks of a time axis', () => {
  it('stand at round times of the zone, days where they begin', () => {
    const from = Date.parse('2026-07-15T20:10:00Z');
    const ticks = timeTicks(from, from + 6 * HOUR_MS, BERLIN)(60);
    expect(ticks.map(({ text }) => text)).toEqual(['07-16', '02:00', '04:00']);
    expect(ticks[0]?.x).toBe(Date.parse('2026-07-15T22:00:00Z'));
  });

  it('are days of 23 and 25 hours where clocks are set', () => {
    const from = Date.parse('2026-03-27T23:00:00Z');
    const ticks = timeTicks(from, from + 4 * 24 * HOUR_MS, BERLIN)(60);
    expect(ticks.map(({ x }) => new Date(x).toISOString().slice(5, 16))).toEqual([
      '03-27T23:00',
      '03-28T23:00',
      '03-29T22:00',
      '03-30T22:00',
      '03-31T22:00',
    ]);
  });

  it('are few enough for their labels, whatever the range', () => {
    const range = fc.tuple(fc.integer({ min: 0, max: 2e12 }), fc.integer({ min: 1, max: 2e12 }));
    fc.assert(
      fc.property(range, fc.integer({ min: 1, max: 200 }), ([from, length], columns) => {
        const ticks = timeTicks(from, from + length, 'America/New_York')(columns);
        expect(ticks.length).toBeLessThanOrEqual(columns / 10 + 2);
      }),
    );
  });
});
