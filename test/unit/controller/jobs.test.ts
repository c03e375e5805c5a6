import { expect, test } from 'vitest';
import { jobsOf } from '../../../controller/jobs.ts';
import { manualClock } from '../../support/clock.ts';

test('a stop does not wait for long work of the history, which ends it itself', async () => {
  const forever = new Promise<never>(() => undefined);
  const jobs = jobsOf({
    history: { rollUp: () => forever, retain: () => forever, checkpoint: () => forever },
    groups: { named: () => [] },
    devices: { all: () => [] },
    retention: { rawMs: 0, minuteMs: 0, hourMs: 0, dayMs: 0 },
    clock: manualClock(),
  });
  const stopping = new AbortController();
  const long = jobs.filter(({ name }) => name !== 'checkpoint');
  const runs = long.map(({ run }) => run(stopping.signal));
  stopping.abort();
  expect(await Promise.all(runs)).toHaveLength(2);
});

test('work of the history that fails is a job that failed', async () => {
  const fail = async () => {
    throw new Error('no room');
  };
  const jobs = jobsOf({
    history: { rollUp: fail, retain: fail, checkpoint: fail },
    groups: { named: () => [] },
    devices: { all: () => [] },
    retention: { rawMs: 0, minuteMs: 0, hourMs: 0, dayMs: 0 },
    clock: manualClock(),
  });
  for (const { run } of jobs) await expect(run(new AbortController().signal)).rejects.toThrow('no room');
});

test('windows that cannot be read make the roll-up a job that failed, and say where to look', async () => {
  const [rollUp] = jobsOf({
    history: {
      rollUp: async () => ({ windows: 5, damaged: 1, rows: 3 }),
      retain: async () => Promise.reject(new Error('not asked')),
      checkpoint: async () => Promise.reject(new Error('not asked')),
    },
    groups: { named: () => [] },
    devices: { all: () => [] },
    retention: { rawMs: 0, minuteMs: 0, hourMs: 0, dayMs: 0 },
    clock: manualClock(),
  });
  await expect(rollUp?.run(new AbortController().signal)).rejects.toThrow('history integrity');
});
