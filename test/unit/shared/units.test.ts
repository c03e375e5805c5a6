import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { AppError } from '../../../shared/errors.ts';
import {
  formatDurationMs,
  formatEnergyJ,
  formatPowerW,
  formatTempC,
  parseQuantity,
} from '../../../shared/units.ts';

function failure(work: () => unknown): AppError {
  try {
    work();
  } catch (error) {
    if (error instanceof AppError) return error;
  }
  throw new Error('no AppError was thrown');
}

describe('parseQuantity', () => {
  it.each([
    ['2ms', 'duration', 2],
    ['500us', 'duration', 0.5],
    [' 1.5 s ', 'duration', 1_500],
    ['24h', 'duration', 86_400_000],
    ['5m', 'duration', 300_000],
    ['7W', 'power', 7],
    ['850mW', 'power', 0.85],
    ['2.5kWh', 'energy', 9_000_000],
    ['30', 'frequency', 30],
    ['30Hz', 'frequency', 30],
    ['92%', 'fraction', 0.92],
    ['.92', 'fraction', 0.92],
    ['50mJ', 'energy', 0.05],
    ['80C', 'temperature', 80],
    ['71.5 °C', 'temperature', 71.5],
    ['512MiB', 'size', 2 ** 29],
    ['2GB', 'size', 2e9],
  ] as const)('reads %s as a %s', (text, dimension, value) => {
    expect(parseQuantity(text, dimension, '--x')).toBeCloseTo(value, 12);
  });

  it('names the dimension of a unit that belongs to another one', () => {
    const error = failure(() => parseQuantity('2W', 'duration', '--latency'));
    expect(error.code).toBe('usage');
    expect(error.message).toBe(
      "--latency: '2W' is a power; a duration is written for example 2ms, 30s or 24h",
    );
  });

  it.each([
    ['50W', 'energy', "'50W' is a power; an energy is written for example"],
    ['80', 'temperature', "'80' has no unit; a temperature is written for example 80C"],
    ['5J', 'power', "'5J' is an energy"],
    ['5m', 'size', "'5m' is a duration"],
    ['300K', 'temperature', "unknown unit 'K'"],
  ] as const)('says of %s as %s what is wrong', (text, dimension, message) => {
    expect(failure(() => parseQuantity(text, dimension, '--x')).message).toContain(message);
  });

  it('asks for a unit where there is none', () => {
    expect(failure(() => parseQuantity('2', 'duration', '--latency')).message).toContain('has no unit');
  });

  it.each(['', 'ms', '2 parsecs', '1e999ms', 'NaN', 'Infinity', '0x10', '2ms3', '--2ms', '2toString'])(
    'refuses %j as a duration',
    (text) => {
      expect(failure(() => parseQuantity(text, 'duration', '--x')).code).toBe('usage');
    },
  );

  it('never returns anything but a finite number, whatever is typed', () => {
    fc.assert(
      fc.property(fc.string(), (text) => {
        try {
          expect(Number.isFinite(parseQuantity(text, 'duration', '--x'))).toBe(true);
        } catch (error) {
          expect(error).toBeInstanceOf(AppError);
        }
      }),
    );
  });

  it('reads every number with a unit as that number times the factor of the unit', () => {
    const units = fc.constantFrom(['us', 0.001], ['ms', 1], ['s', 1_000], ['min', 60_000], ['d', 86_400_000]);
    fc.assert(
      fc.property(fc.double({ min: 0, max: 1e9, noNaN: true }), units, (value, [unit, factor]) => {
        expect(parseQuantity(`${value}${unit}`, 'duration', '--x')).toBe(value * Number(factor));
      }),
    );
  });
});

describe('formatDurationMs', () => {
  it.each([
    [0, '0ms'],
    [0.5, '500us'],
    [2, '2ms'],
    [1_500, '1.5s'],
    [90_000, '1.5m'],
    [7_200_000, '2h'],
    [86_400_000, '1d'],
    [Number.NaN, '-'],
  ])('writes %d ms as %s', (ms, text) => {
    expect(formatDurationMs(ms)).toBe(text);
  });

  it('writes what parseQuantity reads back, within its three digits', () => {
    fc.assert(
      fc.property(fc.double({ min: 0.001, max: 8e10, noNaN: true }), (ms) => {
        const back = parseQuantity(formatDurationMs(ms), 'duration', '--x');
        expect(Math.abs(back - ms) / ms).toBeLessThanOrEqual(0.005 + 1e-9);
      }),
    );
  });
});

describe('quantities for people', () => {
  it.each([
    [formatPowerW(12), '12W'],
    [formatPowerW(0.8504), '850mW'],
    [formatPowerW(1_500), '1.5kW'],
    [formatPowerW(0), '0W'],
    [formatEnergyJ(0.05), '50mJ'],
    [formatEnergyJ(0.000012), '12uJ'],
    [formatEnergyJ(1e-9), '0.001uJ'],
    [formatEnergyJ(2.5e6), '2.5MJ'],
    [formatEnergyJ(Number.NaN), '-'],
    [formatTempC(80.04), '80C'],
    [formatTempC(71.46), '71.5C'],
  ])('are written %s', (text, expected) => {
    expect(text).toBe(expected);
  });

  it('are read as what they were, within their digits', () => {
    const powers = fc.double({ min: 0.001, max: 1e5, noNaN: true });
    fc.assert(
      fc.property(powers, (value) => {
        expect(parseQuantity(formatPowerW(value), 'power', '--x') / value).toBeCloseTo(1, 2);
        expect(parseQuantity(formatEnergyJ(value), 'energy', '--x') / value).toBeCloseTo(1, 2);
      }),
    );
  });
});
