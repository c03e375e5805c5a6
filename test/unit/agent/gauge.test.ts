import * as fc from 'fast-check';
import { describe, expect, test } from 'vitest';
import { createGaugeGatherer } from '../../../agent/telemetry/gauge.ts';
import { createDeviceGatherer } from '../../../agent/telemetry/gauges.ts';
import { NO_READING } from '../../support/operation.ts';

const HOLD_MS = 3_000;

describe('a gauge', () => {
  test('weighs its values by how long they held', () => {
    const gauge = createGaugeGatherer(HOLD_MS);
    gauge.add(10, 0);
    gauge.add(40, 1_000);
    expect(gauge.take(3_000)).toEqual({ mean: 30, min: 10, max: 40, ms: 3_000 });
  });

  test('holds a value into the next window, and no longer than it may', () => {
    const gauge = createGaugeGatherer(HOLD_MS);
    gauge.add(7, 500);
    expect(gauge.take(1_000)).toEqual({ mean: 7, min: 7, max: 7, ms: 500 });
    expect(gauge.take(10_000)).toEqual({ mean: 7, min: 7, max: 7, ms: 2_500 });
    expect(gauge.take(20_000)).toBeUndefined();
  });

  test('knows nothing before the first reading, and nothing after one that failed', () => {
    const gauge = createGaugeGatherer(HOLD_MS);
    expect(gauge.take(1_000)).toBeUndefined();
    gauge.add(5, 1_000);
    gauge.add(undefined, 1_200);
    gauge.add(Number.NaN, 1_300);
    gauge.add(9, 2_000);
    expect(gauge.take(2_400)).toEqual({ mean: 23 / 3, min: 5, max: 9, ms: 600 });
  });

  test('of the parts adds up to that of the whole, wherever the windows are cut', () => {
    const step = fc.record({
      waitMs: fc.integer({ min: 0, max: 5_000 }),
      value: fc.option(fc.integer({ min: -1_000, max: 1_000 }), { nil: undefined }),
      isCut: fc.boolean(),
    });
    fc.assert(
      fc.property(fc.array(step, { maxLength: 60 }), (steps) => {
        const whole = createGaugeGatherer(HOLD_MS);
        const cut = createGaugeGatherer(HOLD_MS);
        const parts: ReturnType<typeof cut.take>[] = [];
        let nowMs = 0;
        for (const { waitMs, value, isCut } of steps) {
          nowMs += waitMs;
          if (isCut) parts.push(cut.take(nowMs));
          whole.add(value, nowMs);
          cut.add(value, nowMs);
        }
        nowMs += 1_000;
        const known = [...parts, cut.take(nowMs)].filter((part) => part !== undefined);
        const all = whole.take(nowMs);
        expect(known.reduce((sum, { ms }) => sum + ms, 0)).toBe(all?.ms ?? 0);
        if (all === undefined) return;
        const valueMs = known.reduce((sum, { mean, ms }) => sum + mean * ms, 0);
        expect(valueMs / all.ms).toBeCloseTo(all.mean, 6);
        expect(Math.min(...known.map(({ min }) => min))).toBe(all.min);
        expect(Math.max(...known.map(({ max }) => max))).toBe(all.max);
        for (const { mean, min, max } of known) {
          expect(min <= mean && mean <= max).toBe(true);
        }
      }),
    );
  });
});

describe('what the sensors say in a window', () => {
  const PERIOD_MS = 1_000;
  const seen = (atMs: number, reading: Partial<typeof NO_READING> = {}) => ({
    reading: { ...NO_READING, atMs, ...reading },
    rssBytes: 100,
    queue: 2,
  });

  test('is told under the names of the protocol, and what is not known is left out', () => {
    const device = createDeviceGatherer(PERIOD_MS);
    const psi = { cpu: 0.25, memory: 0, memoryFull: 0 };
    device.add(seen(0, { powerW: 5, gpuLoad: 0.5, psi, tempC: 61 }));
    expect(device.take(1_000).gauges).toEqual({
      powerW: { mean: 5, min: 5, max: 5, ms: 1_000 },
      tempC: { mean: 61, min: 61, max: 61, ms: 1_000 },
      gpuBusy: { mean: 0.5, min: 0.5, max: 0.5, ms: 1_000 },
      cpuPressure: { mean: 0.25, min: 0.25, max: 0.25, ms: 1_000 },
      rssBytes: { mean: 100, min: 100, max: 100, ms: 1_000 },
      queue: { mean: 2, min: 2, max: 2, ms: 1_000 },
    });
    expect(device.take(3_500).gauges?.powerW).toMatchObject({ ms: 2_000 });
    expect(device.take(5_000)).toEqual({});
  });

  test('sums the energy, over the time for which it is known, by the worse of its qualities', () => {
    const device = createDeviceGatherer(PERIOD_MS);
    const used = (quality: 'measured' | 'modelled') =>
      ({ energyJ: 3, energyOverMs: 900, powerQuality: quality }) as const;
    device.add(seen(1_000, used('measured')));
    device.add(seen(2_000, { energyJ: 3 }));
    device.add(seen(3_000, used('measured')));
    expect(device.take(3_000)).toMatchObject({ energyJ: 6, energyMs: 1_800, energyQuality: 'measured' });
    device.add(seen(4_000, used('modelled')));
    device.add(seen(5_000, used('measured')));
    expect(device.take(5_000)).toMatchObject({ energyJ: 6, energyQuality: 'modelled' });
    expect(device.take(5_100)).not.toHaveProperty('energyJ');
  });
});
