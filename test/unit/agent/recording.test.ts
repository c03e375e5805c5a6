import * as fc from 'fast-check';
import { describe, expect, test } from 'vitest';
import { createEventLimiter } from '../../../agent/telemetry/event-limiter.ts';
import { createRecorder } from '../../../agent/telemetry/recorder.ts';
import { type ClockFloor, createStamper } from '../../../agent/telemetry/stamper.ts';
import { createWindowGatherer, type InferenceSeen } from '../../../agent/telemetry/window.ts';
import { createWindowLoop } from '../../../agent/telemetry/window-loop.ts';
import type { EventBody } from '../../../shared/protocol/event.ts';
import type { WindowBody } from '../../../shared/protocol/window.ts';
import { Sketch } from '../../../shared/sketch.ts';
import { keptLog, outboxOf, START_TS, stateFolder } from '../../support/agent.ts';
import { type ManualClock, manualClock } from '../../support/clock.ts';

const END = { family: 'f'.repeat(64), slowdown: 1, price: 0, requirement: { latencyMs: 50 } };
const HOUR_MS = 3_600_000;
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
  const inferences: fc.Arbitrary<InferenceSeen[]> = fc.array(
    fc.record({
      pe: fc.constantFrom('cpu', 'gpu'),
      level: fc.nat({ max: 2 }),
      latencyMs: fc.integer({ min: 1, max: 1_000 }),
      missed: fc.boolean(),
      correct: fc.constantFrom(true, false, undefined),
    }),
    { maxLength: 60 },
  );

  test('holds the sums of what happened, by operating point', () => {
    fc.assert(
      fc.property(inferences, (seen) => {
        const gatherer = createWindowGatherer();
        for (const one of seen) gatherer.inference(one);
        const { points } = gatherer.take({ ...END, durationMs: 1_000 });
        expect(points.reduce((sum, { inferences }) => sum + inferences, 0)).toBe(seen.length);
        for (const point of points) {
          const own = seen.filter(({ pe, level }) => pe === point.pe && level === point.level);
          const latencies = own.map(({ latencyMs }) => latencyMs);
          expect(point).toMatchObject({
            inferences: own.length,
            misses: own.filter(({ missed }) => missed).length,
            labelled: own.filter(({ correct }) => correct !== undefined).length,
            correct: own.filter(({ correct }) => correct === true).length,
            latencySumMs: latencies.reduce((sum, value) => sum + value, 0),
            latencyMinMs: Math.min(...latencies),
            latencyMaxMs: Math.max(...latencies),
          });
          expect(Sketch.decode(point.latencySketch).count).toBe(own.length);
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
          for (const one of part) {
            gatherer.inference({ ...one, pe: 'cpu', level: 0 });
            whole.add(one.latencyMs);
          }
          for (const { latencySketch } of gatherer.take({ ...END, durationMs: 1 }).points)
            merged.merge(Sketch.decode(latencySketch));
        }
        const quantiles = (sketch: Sketch) => [0, 0.5, 0.99, 1].map((at) => sketch.quantile(at)?.toFixed(6));
        expect(quantiles(merged)).toEqual(quantiles(whole));
      }),
    );
  });

  test('begins anew when it is taken', () => {
    const gatherer = createWindowGatherer();
    gatherer.inference({ pe: 'cpu', level: 0, latencyMs: 5, missed: true, correct: true });
    for (const name of ['switches', 'skipped', 'unreadable', 'failed'] as const) gatherer.count(name, 2);
    const counts = { sheds: 0, switches: 2, skipped: 2, unreadable: 2, failed: 2 };
    expect(gatherer.take({ ...END, durationMs: 7 })).toMatchObject({ ...counts, ...END, durationMs: 7 });
    expect(gatherer.take({ ...END, durationMs: 8 })).toEqual({
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
  const running = () => {
    const clock = manualClock();
    const windows: WindowBody[] = [];
    const recorder = {
      window: (body: WindowBody) => void windows.push(body),
      event: () => undefined,
      lost: () => 0,
    };
    let windowMs = 10_000;
    const gatherer = createWindowGatherer();
    const loop = createWindowLoop({ gatherer, recorder, clock, windowMs: () => windowMs, end: () => END });
    const stop = new AbortController();
    const ended = loop.run(stop.signal);
    return {
      clock,
      gatherer,
      durations: () => windows.map(({ durationMs }) => durationMs),
      windows,
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
