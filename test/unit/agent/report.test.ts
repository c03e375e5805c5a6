import { describe, expect, test } from 'vitest';
import { type FixedReport, reportOf } from '../../../agent/report/document.ts';
import { createReporter } from '../../../agent/report/reporter.ts';
import { encodeMessage } from '../../../shared/protocol/messages.ts';
import { type Reported, ReportedSchema } from '../../../shared/protocol/reported.ts';
import { MAX_MESSAGE_BYTES } from '../../../shared/protocol/topics.ts';
import { parserOf } from '../../../shared/schema.ts';
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

describe('a report', () => {
  const { v, bootId, software, hardware, family } = BASE;
  const fixed: FixedReport = { v, bootId, software, hardware };
  const resolved = {
    requirement: { powerW: 7 },
    settings: {},
    sources: {},
    refused: [],
    applied: { groups: {} },
  };
  const parse = parserOf(ReportedSchema);

  test('holds figures of four digits, and of each point what is known of it', () => {
    const point = { pe: 'gpu', level: 1, accuracy: 0.91, latencyMs: 1.23456 } as const;
    const known = { energyJ: 0.0123456, energyQuality: 'modelled', threads: 2, usable: false } as const;
    const points = [point, { ...point, ...known, quarantined: 'x'.repeat(5_000) }];
    const report = reportOf(fixed, { family, resolved, refused: [], rejected: {}, points });
    expect(parse(JSON.parse(JSON.stringify(report)), 'report')).toEqual(report);
    expect(report.operatingPoints).toEqual([
      { ...point, latencyMs: 1.235 },
      { ...point, ...known, latencyMs: 1.235, energyJ: 0.01235, quarantined: 'x'.repeat(200) },
    ]);
  });

  test('of very many points and sensors is a message still', () => {
    const long = 'x'.repeat(500);
    const points = Array.from({ length: 1_000 }, (_, level) => ({
      ...({ pe: 'cpu', level, accuracy: 0.9, latencyMs: 1, energyJ: 0.1, threads: 1 } as const),
      quarantined: long,
    }));
    const sensors = Array.from({ length: 1_000 }, () => ({ name: long, state: long, reason: long }));
    const report = reportOf(fixed, {
      ...{ family, resolved, refused: [], rejected: {}, points, sensors, policy: 'ofa' },
      profile: { state: 'kept', ts: 1, key: { mode: '15W' }, stale: 'clocks have changed' },
    });
    expect(parse(report, 'report')).toEqual(report);
    expect(Buffer.byteLength(encodeMessage('reported', report))).toBeLessThan(MAX_MESSAGE_BYTES);
  });
});
