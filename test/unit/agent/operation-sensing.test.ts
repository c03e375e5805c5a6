import { expect, test } from 'vitest';
import { createSensing, tellManager } from '../../../agent/operation/sensing.ts';
import type { SensorReading } from '../../../agent/sensors/reading.ts';
import { manualClock } from '../../support/clock.ts';
import { decisionFor, NO_READING, scriptedPolicy, TWO_LEVELS } from '../../support/operation.ts';

test('the manager hears of energy and temperature each period, and of nothing that is not known', async () => {
  const clock = manualClock();
  const policy = scriptedPolicy(() => decisionFor(0));
  const read: number[] = [];
  const known: Partial<SensorReading>[] = [
    {},
    { energyJ: 3, energyOverMs: 500, tempC: 61 },
    { energyJ: 3 },
    { tempC: 62 },
  ];
  const stop = new AbortController();
  const sensing = createSensing({
    sensors: { sample: async () => ({ ...NO_READING, atMs: clock.monoMs(), ...known[read.length] }) },
    clock,
    periodMs: 500,
    onReading: (reading) => {
      read.push(reading.atMs);
      tellManager(reading, policy, TWO_LEVELS);
    },
  });
  const ended = sensing(stop.signal);
  await clock.advance(1_700);
  stop.abort();
  await ended;
  expect(read).toEqual([0, 500, 1_000, 1_500]);
  expect(policy.seen).toEqual([
    { kind: 'energy', energyJ: 3, overMs: 500, nowMs: 500 },
    { kind: 'temperature', tempC: 61, nowMs: 500 },
    { kind: 'temperature', tempC: 62, nowMs: 1_500 },
  ]);
});
