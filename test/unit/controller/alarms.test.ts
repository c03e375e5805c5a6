import { expect, test } from 'vitest';
import type { Alarm } from '../../../controller/history/write/packet.ts';
import { createAlarms } from '../../../controller/registry/alarms.ts';
import { manualClock } from '../../support/clock.ts';
import { silentLog } from '../../support/controller.ts';

const alarmOf = (ts: number): Alarm => ({ device: 'a', ts, what: 'identity conflict', reason: 'two' });

test('an alarm that cannot be stored is tried again, and those behind it keep their order', async () => {
  const clock = manualClock();
  const stored: number[] = [];
  let isFull = true;
  const alarms = createAlarms({
    ...{ clock, random: () => 0.5, log: silentLog },
    raise: async ({ ts }) => {
      if (isFull) throw new Error('the disk is full');
      stored.push(ts);
    },
  });
  await using _running = alarms;
  alarms.start();
  for (const ts of [1, 2, 3]) alarms.raise(alarmOf(ts));
  await clock.advance(60_000);
  expect(stored).toEqual([]);
  isFull = false;
  await clock.advance(60_000);
  expect(stored).toEqual([1, 2, 3]);
  alarms.raise(alarmOf(4));
  await clock.advance(0);
  expect(stored).toEqual([1, 2, 3, 4]);
});

test('the end stores what waits, once', async () => {
  const clock = manualClock();
  let tries = 0;
  const alarms = createAlarms({
    ...{ clock, random: () => 0.5, log: silentLog },
    raise: async () => {
      tries += 1;
      throw new Error('the disk is full');
    },
  });
  alarms.raise(alarmOf(1));
  await alarms[Symbol.asyncDispose]();
  expect(tries).toBe(1);
});

test('alarms that wait are bounded: the oldest are given up', async () => {
  const clock = manualClock();
  const stored: number[] = [];
  const alarms = createAlarms({
    ...{ clock, random: () => 0.5, log: silentLog },
    raise: async ({ ts }) => {
      stored.push(ts);
    },
  });
  for (let ts = 1; ts <= 1_005; ts += 1) alarms.raise(alarmOf(ts));
  await alarms[Symbol.asyncDispose]();
  expect([stored.length, stored[0]]).toEqual([1_000, 6]);
});

test('an alarm that can never be stored holds up the others only until it is given up', async () => {
  const clock = manualClock();
  const stored: number[] = [];
  const alarms = createAlarms({
    ...{ clock, random: () => 0.5, log: silentLog },
    raise: async ({ ts }) => {
      if (ts === 0) throw new Error('never');
      stored.push(ts);
    },
  });
  await using _running = alarms;
  alarms.start();
  for (let ts = 0; ts <= 1_000; ts += 1) alarms.raise(alarmOf(ts));
  await clock.advance(60_000);
  expect(stored).toHaveLength(1_000);
});
