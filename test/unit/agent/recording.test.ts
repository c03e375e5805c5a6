import * as fc from 'fast-check';
import { describe, expect, test } from 'vitest';
import { createEventLimiter } from '../../../agent/telemetry/event-limiter.ts';
import { createDeviceGatherer } from '../../../agent/telemetry/gauges.ts';
import type { InferenceSeen } from '../../../agent/telemetry/point.ts';
import { createRecorder } from '../../../agent/telemetry/recorder.ts';
import { type ClockFloor, createStamper } from '../../../agent/telemetry/stamper.ts';
import { createWindowGatherer } from '../../../agent/telemetry/window.ts';
import { createWindowLoop } from '../../../agent/telemetry/window-loop.ts';
import type { EventBody } from '../../../shared/protocol/event.ts';
import { DISTRIBUTIONS, type Distribution, type WindowBody } from '../../../shared/protocol/window.ts';
import { toWire, WireWindowSchema } from '../../../shared/protocol/window-wire.ts';
import { parserOf } from '../../../shared/schema.ts';
import { Sketch } from '../../../shared/sketch.ts';
import { keptLog, outboxOf, START_TS, stateFolder } from '../../support/agent.ts';
import { type ManualClock, manualClock } from '../../support/clock.ts';
import { NO_READING } from '../../support/operation.ts';

const END = { family: 'f'.repeat(64), slowdown: 1, price: 0, requirement: { latencyMs: 50 } };
const HOUR_MS = 3_600_000;
const parseWire = parserOf(WireWindowSchema);
const fault: EventBody = { kind: 'fault', what: 'camera', reason: 'x' };

function floorAt(ts: number): ClockFloor & { saved: number[] } {
  const saved: number[] = [];
  return { load: () => ts, save: (value) => void saved.push(value), saved };
}

/** A clock whose wall clock can be set, as a time source does. */
function settableClock(startMs: number): ManualClock & { set(ts: number): void } {
  const clock = manualClock(startMs);
  let offsetMs = 0;
  return {
    ...clock,
    now: () => clock.now() + offsetMs,
    set: (ts) => {
      offsetMs = ts - clock.now();
    },
  };
}

describe('a window', () => {
  const REST = { ...END, durationMs: 1_000 };
  const inferences: fc.Arbitrary<InferenceSeen[]> = fc.array(
    fc.record({
      pe: fc.constantFrom('cpu', 'gpu'),
      level: fc.nat({ max: 2 }),
      latencyMs: fc.integer({ min: 20, max: 1_000 }),
      runMs: fc.integer({ min: 1, max: 20 }),
      profileMs: fc.constantFrom(undefined, 4),
      energyJ: fc.constantFrom(undefined, 0.25),
      confidence: fc.constantFrom(0.5, 0.75),
      missed: fc.boolean(),
      correct: fc.constantFrom(true, false, undefined),
      nowMs: fc.constant(0),
    }),
    { maxLength: 60 },
  );
  const one: InferenceSeen = {
    pe: 'cpu',
    level: 0,
    latencyMs: 5,
    runMs: 4,
    profileMs: 2,
    energyJ: undefined,
    confidence: 0.5,
    missed: true,
    correct: true,
    nowMs: 0,
  };
  const sumOf = (values: readonly number[]): number => values.reduce((sum, value) => sum + value, 0);
  const expectHolds = (distribution: Distribution | undefined, values: readonly number[]): void => {
    const [min, max] = [Math.min(...values), Math.max(...values)];
    const exact = { count: values.length, sum: sumOf(values), min, max, sketch: expect.any(String) };
    expect(distribution).toEqual(values.length === 0 ? undefined : exact);
    if (distribution !== undefined) expect(Sketch.decode(distribution.sketch).count).toBe(values.length);
  };

  test('holds the sums of what happened, by operating point', () => {
    fc.assert(
      fc.property(inferences, (seen) => {
        const gatherer = createWindowGatherer();
        for (const each of seen) gatherer.inference(each);
        const { points } = gatherer.take(REST, 0);
        expect(sumOf(points.map((point) => point.inferences))).toBe(seen.length);
        for (const point of points) {
          const own = seen.filter(({ pe, level }) => pe === point.pe && level === point.level);
          expect(point).toMatchObject({
            inferences: own.length,
            misses: own.filter(({ missed }) => missed).length,
            labelled: own.filter(({ correct }) => correct !== undefined).length,
            correct: own.filter(({ correct }) => correct === true).length,
            confidenceSum: sumOf(own.map(({ confidence }) => confidence)),
          });
          const valuesOf = {
            latencyMs: own.map(({ latencyMs }) => latencyMs),
            queueMs: own.map(({ latencyMs, runMs }) => latencyMs - runMs),
            slowdown: own.flatMap(({ runMs, profileMs }) =>
              profileMs === undefined ? [] : [runMs / profileMs],
            ),
            energyJ: own.flatMap(({ energyJ }) => energyJ ?? []),
          };
          for (const name of DISTRIBUTIONS) expectHolds(point[name], valuesOf[name]);
        }
      }),
    );
  });

  test('merged with the next has the quantiles of both', () => {
    fc.assert(
      fc.property(inferences, inferences, (first, second) => {
        const gatherer = createWindowGatherer();
        const whole = new Sketch();
        const merged = new Sketch();
        for (const part of [first, second]) {
          for (const each of part) {
            gatherer.inference({ ...each, pe: 'cpu', level: 0 });
            whole.add(each.latencyMs);
          }
          for (const { latencyMs } of gatherer.take(REST, 0).points)
            merged.merge(Sketch.decode(latencyMs.sketch));
        }
        const quantiles = (sketch: Sketch) => [0, 0.5, 0.99, 1].map((at) => sketch.quantile(at)?.toFixed(6));
        expect(quantiles(merged)).toEqual(quantiles(whole));
      }),
    );
  });

  test('shares its time out among the operating points in use, from the first inference on', () => {
    const inference = fc.record({
      level: fc.nat({ max: 2 }),
      waitMs: fc.nat(50),
      runMs: fc.nat(50),
      isCut: fc.boolean(),
    });
    fc.assert(
      fc.property(fc.array(inference, { minLength: 1, maxLength: 40 }), (steps) => {
        const gatherer = createWindowGatherer();
        let nowMs = 0;
        let timeMs = 0;
        const cut = (): void => {
          timeMs += sumOf(gatherer.take(REST, nowMs).points.map((point) => point.timeMs ?? 0));
        };
        for (const { level, waitMs, runMs, isCut } of steps) {
          nowMs += waitMs + runMs;
          gatherer.inference({ ...one, level, runMs, nowMs });
          if (isCut) cut();
        }
        nowMs += 100;
        cut();
        expect(timeMs).toBe(nowMs - (steps[0]?.waitMs ?? 0));
      }),
    );
  });

  test('tells of the operating point in use also when it had nothing to do', () => {
    const gatherer = createWindowGatherer();
    gatherer.inference({ ...one, nowMs: 10 });
    gatherer.take(REST, 1_000);
    const [point, ...others] = gatherer.take(REST, 2_000).points;
    expect(point).toMatchObject({ inferences: 0, timeMs: 1_000, latencyMs: { count: 0, sum: 0 } });
    expect(others).toEqual([]);
  });

  test('begins anew when it is taken', () => {
    const gatherer = createWindowGatherer();
    gatherer.audited({ pe: 'cpu', level: 3, agreed: true });
    for (const name of ['switches', 'skipped', 'unreadable', 'failed'] as const) gatherer.count(name, 2);
    const counts = { sheds: 0, switches: 2, skipped: 2, unreadable: 2, failed: 2 };
    const first = gatherer.take({ ...REST, durationMs: 7 }, 7);
    expect(first).toMatchObject({ ...counts, ...END, durationMs: 7 });
    expect(first.points).toMatchObject([{ level: 3, inferences: 0, audits: 1, agreed: 1 }]);
    expect(gatherer.take({ ...REST, durationMs: 8 }, 15)).toEqual({
      ...END,
      durationMs: 8,
      points: [],
      sheds: 0,
      switches: 0,
      skipped: 0,
      unreadable: 0,
      failed: 0,
    });
  });
});

describe('the window loop', () => {
  const running = (clock = manualClock()) => {
    const windows: WindowBody[] = [];
    const recorder = {
      window: (body: WindowBody) => void windows.push(body),
      event: () => undefined,
      lost: () => 0,
    };
    let windowMs = 10_000;
    const gatherer = createWindowGatherer();
    const device = createDeviceGatherer(1_000);
    const loop = createWindowLoop({
      gatherer,
      device,
      recorder,
      clock,
      waiting: () => ({ records: 4, ageMs: clock.monoMs() }),
      windowMs: () => windowMs,
      end: () => END,
    });
    const stop = new AbortController();
    const ended = loop.run(stop.signal);
    return {
      clock,
      gatherer,
      device,
      durations: () => windows.map(({ durationMs }) => durationMs),
      windows,
      familyLeaves: loop.familyLeaves,
      change: (ms: number) => {
        windowMs = ms;
        loop.lengthChanged();
      },
      stop: async () => {
        stop.abort();
        await ended;
      },
    };
  };

  test('cuts windows of the length in force, and a last one when it is stopped', async () => {
    const { clock, durations, windows, gatherer, stop } = running();
    await clock.advance(23_000);
    gatherer.count('skipped');
    await stop();
    expect(durations()).toEqual([10_000, 10_000, 3_000]);
    expect(windows.at(-1)?.skipped).toBe(1);
  });

  test('cuts one when another family is to serve: of the next it is the begin, and nothing of the old one is in it', async () => {
    const { clock, gatherer, windows, durations, familyLeaves, stop } = running();
    const known = { pe: 'cpu', latencyMs: 5, runMs: 4, profileMs: 2, energyJ: undefined } as const;
    const inference = { ...known, level: 3, confidence: 0.5, missed: false, correct: undefined, nowMs: 4 };
    gatherer.inference(inference);
    await clock.advance(4_000);
    familyLeaves();
    gatherer.inference({ ...inference, level: 0, nowMs: 5_000 });
    await clock.advance(11_000);
    await stop();
    expect(durations()).toEqual([4_000, 10_000, 1_000]);
    expect(windows.map(({ points }) => points.map(({ level, timeMs }) => [level, timeMs]))).toEqual([
      [[3, 4_000]],
      [[0, 9_004]],
      [[0, 1_000]],
    ]);
  });

  test('says with each window what waits, and what the sensors said', async () => {
    const { clock, device, windows, stop } = running();
    await clock.advance(9_000);
    const reading = {
      ...NO_READING,
      atMs: 9_000,
      energyJ: 2,
      energyOverMs: 500,
      powerQuality: 'measured' as const,
    };
    device.add({ reading, rssBytes: 7, queue: 0 });
    await clock.advance(1_000);
    await stop();
    expect(windows[0]).toMatchObject({
      outboxRecords: 4,
      outboxAgeMs: 10_000,
      gauges: { rssBytes: { mean: 7, ms: 1_000 } },
      energyJ: 2,
      energyMs: 500,
      energyQuality: 'measured',
    });
  });

  test('stays within what the protocol allows when the process was stopped for hours', async () => {
    const clock = manualClock();
    let stoppedMs = 0;
    const { windows, stop } = running({ ...clock, monoMs: () => clock.monoMs() + stoppedMs });
    await clock.advance(4_000);
    stoppedMs = 3 * HOUR_MS;
    await stop();
    expect(windows).toHaveLength(1);
    expect(() => windows.map((window) => parseWire(toWire(window), 'window'))).not.toThrow();
    expect(windows[0]?.durationMs).toBe(2 * HOUR_MS);
  });

  test('applies another length to the window in progress', async () => {
    const { clock, durations, change, stop } = running();
    await clock.advance(4_000);
    change(5_000);
    await clock.advance(1_000);
    expect(durations()).toEqual([5_000]);
    await clock.advance(2_000);
    change(1_000);
    await clock.advance(1_000);
    expect(durations()).toEqual([5_000, 2_000, 1_000]);
    await stop();
  });
});

describe('a record is stamped', () => {
  test('synced when the clock shows no less than what has passed, with the time since the boot', async () => {
    const clock = manualClock(START_TS);
    await clock.advance(500);
    const stamper = createStamper(clock, floorAt(START_TS));
    await clock.advance(70);
    expect(stamper.now()).toEqual({ ts: START_TS + 570, monoMs: 70, clock: 'synced' });
    expect(stamper.arrivedOffsetMs()).toBeUndefined();
  });

  test('unsynced while the clock is behind, and is dated anew once when time has arrived', async () => {
    const clock = settableClock(0);
    const stamper = createStamper(clock, floorAt(START_TS));
    await clock.advance(1_000);
    expect(stamper.now()).toEqual({ ts: 1_000, monoMs: 1_000, clock: 'unsynced' });
    expect(stamper.arrivedOffsetMs()).toBeUndefined();
    clock.set(START_TS + HOUR_MS);
    expect(stamper.arrivedOffsetMs()).toBe(START_TS + HOUR_MS - 1_000);
    expect(stamper.arrivedOffsetMs()).toBeUndefined();
    expect(stamper.now().clock).toBe('synced');
  });

  test('and the floor is written down now and then, not each time', async () => {
    const clock = manualClock(START_TS);
    const floor = floorAt(START_TS);
    const stamper = createStamper(clock, floor);
    for (let minute = 0; minute < 25; minute += 1) {
      await clock.advance(60_000);
      stamper.now();
    }
    expect(floor.saved).toEqual([START_TS + 600_000, START_TS + 1_200_000]);
  });

  test('also when the floor cannot be written', () => {
    const save = (): never => {
      throw new Error('disk full');
    };
    const stamper = createStamper(manualClock(START_TS), { load: () => 0, save });
    expect(stamper.now().clock).toBe('synced');
  });
});

describe('the recorder', () => {
  test('loses records on a full disk, counts them, says so once per spell, and never throws', async () => {
    await using folder = await stateFolder();
    const database = folder.open();
    const outbox = outboxOf(database);
    const { log, lines } = keptLog();
    const recorded: true[] = [];
    const stamper = createStamper(manualClock(START_TS), floorAt(START_TS));
    const recorder = createRecorder({ outbox, stamper, log, onRecorded: () => void recorded.push(true) });
    const big: EventBody = { ...fault, reason: 'x'.repeat(200_000) };
    const pages = Number(database.pragma('page_count', { simple: true }));
    for (const spell of [1, 2]) {
      database.pragma(`max_page_count = ${pages}`);
      for (let index = 0; index < 3; index += 1) recorder.event(big);
      expect(recorder.lost()).toBe(3 * spell);
      database.pragma('max_page_count = 1000000');
      recorder.event(fault);
    }
    expect(recorded).toHaveLength(2);
    expect(lines.filter(({ msg }) => /cannot be stored/.test(msg))).toHaveLength(2);
    expect(lines.filter(({ msg }) => /can be stored again/.test(msg))).toHaveLength(2);
  });

  test('dates the waiting records of this boot when time arrives', async () => {
    await using folder = await stateFolder();
    const outbox = outboxOf(folder.open());
    const clock = settableClock(0);
    const stamper = createStamper(clock, floorAt(START_TS));
    const recorder = createRecorder({ outbox, stamper, log: keptLog().log, onRecorded: () => undefined });
    await clock.advance(100);
    recorder.event(fault);
    await clock.advance(100);
    clock.set(START_TS + HOUR_MS);
    recorder.event(fault);
    expect(outbox.after(0, 10).map(({ ts, clock: state }) => [ts - START_TS - HOUR_MS, state])).toEqual([
      [-100, 'synced'],
      [0, 'synced'],
    ]);
  });
});

test('events pass up to so many a minute, and those that were held back are counted once', async () => {
  const clock = manualClock();
  const limiter = createEventLimiter(clock, 30);
  const passed = Array.from({ length: 35 }, () => limiter.pass());
  expect(passed.filter((each) => each !== undefined)).toEqual(
    Array.from({ length: 30 }, () => ({ heldBack: 0 })),
  );
  await clock.advance(2_000);
  expect([limiter.pass(), limiter.pass()]).toEqual([{ heldBack: 5 }, undefined]);
  await clock.advance(HOUR_MS);
  expect(limiter.pass()).toEqual({ heldBack: 1 });
  expect(Array.from({ length: 40 }, () => limiter.pass()).filter((each) => each !== undefined)).toHaveLength(
    29,
  );
});
