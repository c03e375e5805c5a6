import { expect, test } from 'vitest';
import { type Job, scheduleJobs } from '../../../controller/schedule.ts';
import { systemClock } from '../../../shared/clock.ts';
import { manualClock } from '../../support/clock.ts';
import { silentLog } from '../../support/controller.ts';

const MINUTE_MS = 60_000;

/** Schedules one job for every full minute of a clock that the test owns. */
function everyMinute(run: Job['run'], clock = manualClock()) {
  const faults: unknown[] = [];
  const runs: string[] = [];
  const schedule = scheduleJobs([{ name: 'work', cron: '* * * * *', run }], {
    clock,
    random: () => 0.5,
    log: silentLog,
    nextRun: () => (Math.floor(clock.now() / MINUTE_MS) + 1) * MINUTE_MS,
    onRun: (name, _durationMs, error) => {
      runs.push(name);
      if (error !== undefined) faults.push(error);
    },
  });
  return { clock, schedule, runs, faults };
}

test('a job runs at the start, to catch up, and then at its times', async () => {
  const { clock, schedule, runs } = everyMinute(async () => undefined);
  await using _running = schedule;
  await clock.advance(0);
  expect(runs).toHaveLength(1);
  await clock.advance(10 * MINUTE_MS);
  expect(runs).toHaveLength(11);
});

test('two runs of a job never overlap, however long one takes', async () => {
  let running = 0;
  let most = 0;
  const clock = manualClock();
  const { schedule, runs } = everyMinute(async (signal) => {
    running += 1;
    most = Math.max(most, running);
    await clock.sleep(2.5 * MINUTE_MS, signal);
    running -= 1;
  }, clock);
  await using _running = schedule;
  await clock.advance(30 * MINUTE_MS);
  expect(most).toBe(1);
  expect(runs.length).toBeGreaterThan(8);
});

test('a job that fails comes again at its next time', async () => {
  const { clock, schedule, runs, faults } = everyMinute(async () => {
    throw new Error('no room');
  });
  await using _running = schedule;
  await clock.advance(3 * MINUTE_MS);
  expect([runs.length, faults.length]).toEqual([4, 4]);
});

test('the end waits for the run under way, which is told to stop', async () => {
  const order: string[] = [];
  const clock = manualClock();
  const { schedule } = everyMinute(async (signal) => {
    await clock.sleep(MINUTE_MS, signal).catch(() => undefined);
    order.push('run ended');
  }, clock);
  await clock.advance(0);
  await schedule[Symbol.asyncDispose]();
  order.push('schedule ended');
  expect(order).toEqual(['run ended', 'schedule ended']);
});

test('times are those of cron expressions; what is none is refused at once', async () => {
  const log = silentLog;
  const deps = { clock: systemClock, random: () => 0.5, log };
  const run = async () => undefined;
  expect(() => scheduleJobs([{ name: 'work', cron: 'every now and then', run }], deps)).toThrow();
  const ran = Promise.withResolvers<void>();
  let times = 0;
  await using _running = scheduleJobs(
    [
      {
        name: 'work',
        cron: '* * * * * *',
        run: async () => {
          times += 1;
          if (times === 2) ran.resolve();
        },
      },
    ],
    deps,
  );
  await ran.promise;
});
