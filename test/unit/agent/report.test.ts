import { expect, test } from 'vitest';
import { createReporter } from '../../../agent/report/reporter.ts';
import type { Reported } from '../../../shared/protocol/reported.ts';
import { manualClock } from '../../support/clock.ts';

const BASE: Reported = {
  v: 1,
  bootId: '0000aaaa-0001',
  software: { agent: '1', node: '24', onnxruntime: '1' },
  hardware: { model: 'x', arch: 'arm64', cpus: 4, memoryBytes: 1 },
  family: { name: 'f', version: 1, sha256: 'f' },
  operatingPoints: [],
  applied: { groups: {} },
  requirement: {},
  settings: {},
  sources: {},
  refused: [],
  rejected: {},
};

/** A reporter whose document holds one number that a test changes. */
function reporting() {
  const clock = manualClock();
  let dropped = 0;
  const current = (): Reported => ({ ...BASE, rejected: { dropped } });
  const reporter = createReporter({ clock, current, minIntervalMs: 1_000 });
  const published: (number | undefined)[] = [];
  const publish = async ({ rejected }: Reported): Promise<void> => {
    published.push(rejected['dropped']);
  };
  return {
    clock,
    reporter,
    published,
    publish,
    drop: (count = 1) => {
      for (let index = 0; index < count; index += 1) {
        dropped += 1;
        reporter.touch();
      }
    },
  };
}

test('the first report of each connection is sent, though nothing has changed', async () => {
  const { clock, reporter, published, publish } = reporting();
  for (const connection of [1, 2]) {
    const stop = new AbortController();
    const running = reporter.run(publish, stop.signal);
    await clock.advance(5_000);
    stop.abort();
    await running;
    expect(published).toHaveLength(connection);
  }
});

test('nothing is sent while nothing changes, however often it is said that something may have', async () => {
  const { clock, reporter, published, publish } = reporting();
  const stop = new AbortController();
  const running = reporter.run(publish, stop.signal);
  for (let second = 0; second < 5; second += 1) {
    reporter.touch();
    await clock.advance(1_000);
  }
  expect(published).toEqual([0]);
  stop.abort();
  await running;
});

test('changes are sent together, at most one report in the interval, and the last change always', async () => {
  const { clock, reporter, published, publish, drop } = reporting();
  const stop = new AbortController();
  const running = reporter.run(publish, stop.signal);
  await clock.advance(0);
  drop(3);
  await clock.advance(999);
  expect(published).toEqual([0]);
  await clock.advance(1);
  expect(published).toEqual([0, 3]);
  drop();
  await clock.advance(500);
  drop();
  await clock.advance(500);
  expect(published).toEqual([0, 3, 5]);
  await clock.advance(60_000);
  drop();
  await clock.advance(0);
  expect(published).toEqual([0, 3, 5, 6]);
  stop.abort();
  await running;
});

test('a failure to publish ends it', async () => {
  const { reporter } = reporting();
  const publish = async (): Promise<void> => {
    throw new Error('line cut');
  };
  await expect(reporter.run(publish, new AbortController().signal)).rejects.toThrow('line cut');
});
