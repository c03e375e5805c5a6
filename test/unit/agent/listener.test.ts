import { describe, expect, test } from 'vitest';
import { createExplainRing } from '../../../agent/explain/ring.ts';
import type { InferenceDone, InferenceShed } from '../../../agent/runtime/inference.ts';
import type { OperatingPoint } from '../../../agent/runtime/points.ts';
import { createEventLimiter } from '../../../agent/telemetry/event-limiter.ts';
import { createDeviceGatherer } from '../../../agent/telemetry/gauges.ts';
import { createLoopListeners } from '../../../agent/telemetry/loop-listener.ts';
import { createWindowGatherer } from '../../../agent/telemetry/window.ts';
import { type EventBody, EventSchema } from '../../../shared/protocol/event.ts';
import { parserOf } from '../../../shared/schema.ts';
import { keptLog, START_TS } from '../../support/agent.ts';
import { manualClock } from '../../support/clock.ts';
import { type DecisionChange, decisionFor, NO_READING, TWO_LEVELS } from '../../support/operation.ts';

const [CHEAP, DEAR] = TWO_LEVELS as readonly [OperatingPoint, OperatingPoint];
const END = { family: 'f'.repeat(64), slowdown: 1, price: 0, requirement: {}, durationMs: 1 };

function listening() {
  const clock = manualClock(START_TS);
  const gatherer = createWindowGatherer();
  const device = createDeviceGatherer(1_000);
  const ring = createExplainRing();
  const events: EventBody[] = [];
  const { log, lines } = keptLog();
  const limiter = () => createEventLimiter(clock, 30);
  const recorder = {
    window: () => undefined,
    event: (body: EventBody) => void events.push(body),
    lost: () => 0,
  };
  const listen = createLoopListeners({
    gatherer,
    device,
    recorder,
    ring,
    clock,
    log,
    rssBytes: () => 1_000,
    switchLimiter: limiter(),
    violationLimiter: limiter(),
    shedLimiter: limiter(),
    logLimiter: createEventLimiter(clock, 6),
  });
  /** Of a family in operation. */
  const listenerOfFamily = () =>
    listen({
      view: () => ({ slowdown: 1.5, current: 0, price: 0 }),
      energyOf: (index, runMs) => (index === 0 ? runMs / 1_000 : undefined),
    });
  return { clock, gatherer, device, ring, events, lines, listenerOfFamily, listener: listenerOfFamily() };
}

const common = (change: DecisionChange, point: number | undefined) => ({
  decision: decisionFor(point, change),
  requirement: { latencyMs: 50 },
  profile: TWO_LEVELS,
  budgetMs: 50,
  nowMs: 5,
});

function doneOn(index: 0 | 1, change: DecisionChange & { budgetMs?: number } = {}): InferenceDone {
  const { budgetMs = 50, ...decided } = change;
  const point = index === 0 ? CHEAP : DEAR;
  const times = { latencyMs: 12, runMs: 10, missed: false, budgetMs };
  return { kind: 'done', ...common(decided, index), ...times, point, index, logits: Float32Array.of(1, 2) };
}

const shed: InferenceShed = { kind: 'shed', ...common({ cause: 'too-late', timeLeftMs: -3 }, undefined) };
const answered = { correct: undefined, pixels: new Uint8Array() };

describe('what the loop tells', () => {
  test('of inferences goes into the window and the ring, without a budget too', () => {
    const { gatherer, ring, listener } = listening();
    listener.inference({ ...doneOn(0), ...answered });
    listener.inference({ ...doneOn(1, { budgetMs: Number.POSITIVE_INFINITY }), ...answered });
    expect(ring.inferences(10)).toEqual([
      { ts: START_TS, monoMs: 5, pe: 'cpu', level: 0, latencyMs: 12, budgetMs: 50, missed: false },
      { ts: START_TS, monoMs: 5, pe: 'cpu', level: 1, latencyMs: 12, budgetMs: undefined, missed: false },
    ]);
    expect(gatherer.take(END, 10).points).toMatchObject([{ level: 0 }, { level: 1 }]);
  });

  test('of inferences is told by operating point: waiting, slowdown, energy, confidence and time in use', () => {
    const { gatherer, listener } = listening();
    listener.inference({ ...doneOn(0), ...answered, nowMs: 15 });
    listener.inference({ ...doneOn(1), ...answered, nowMs: 40 });
    listener.audited({ pe: 'cpu', level: 0, agreed: true });
    listener.audited({ pe: 'cpu', level: 0, agreed: false });
    const [cheap, dear] = gatherer.take(END, 100).points;
    const confidenceSum = expect.closeTo(1 / (1 + Math.exp(-1)), 9);
    expect(cheap).toMatchObject({
      level: 0,
      timeMs: 25,
      confidenceSum,
      audits: 2,
      agreed: 1,
      latencyMs: { count: 1, sum: 12, min: 12, max: 12 },
      slowdown: { count: 1, sum: 1 },
      queueMs: { count: 1, sum: 2 },
      energyJ: { count: 1, sum: 0.01 },
    });
    expect(dear).toMatchObject({ level: 1, timeMs: 70, slowdown: { sum: 0.5 } });
    expect(dear).not.toHaveProperty('energyJ');
  });

  test('of the device goes into the gauges, with the memory of the agent and what waits', () => {
    const { device, listener } = listening();
    listener.reading({ ...NO_READING, atMs: 0, tempC: 50 }, 3);
    expect(device.take(1_000).gauges).toMatchObject({
      tempC: { mean: 50, ms: 1_000 },
      rssBytes: { mean: 1_000 },
      queue: { mean: 3 },
    });
  });

  test('of a device that slows itself down is one spell, until it has run at full speed for a while', () => {
    const { events, listener } = listening();
    const seen = [undefined, [], ['cpufreq-cpu0'], [], ['cpufreq-cpu0'], undefined, [], []];
    for (const [index, throttledBy] of seen.entries()) {
      listener.reading({ ...NO_READING, atMs: 4_000 * index, throttledBy }, 0);
    }
    expect(events).toEqual([
      { kind: 'throttle', state: 'begins', reason: 'the kernel slows down cpufreq-cpu0' },
      { kind: 'throttle', state: 'ends', reason: 'all runs at full speed again' },
    ]);
  });

  test('of spells goes on when another family serves, and so do the limits of rate', () => {
    const { events, listener, listenerOfFamily } = listening();
    const late = doneOn(0, { cause: 'gave-way', gaveWay: ['latency'], timeLeftMs: Number.POSITIVE_INFINITY });
    listener.violation('latency', 'begins', late);
    listener.reading({ ...NO_READING, atMs: 0, throttledBy: ['cpufreq-cpu0'] }, 0);
    for (let count = 0; count < 40; count += 1) listener.shed(shed);
    const other = listenerOfFamily();
    other.reading({ ...NO_READING, atMs: 1_000, throttledBy: ['cpufreq-cpu0'] }, 0);
    for (let count = 0; count < 40; count += 1) other.shed(shed);
    other.violation('latency', 'ends', late);
    const kinds = (kind: EventBody['kind']) => events.filter((event) => event.kind === kind).length;
    expect([kinds('violation'), kinds('throttle'), kinds('shed')]).toEqual([2, 1, 30]);
  });

  test('of switches, violations and sheds is kept with its decision and its words, and is valid to the protocol', () => {
    const { events, listener, ring } = listening();
    const parse = parserOf(EventSchema);
    const late = doneOn(0, { cause: 'gave-way', gaveWay: ['latency'], timeLeftMs: Number.POSITIVE_INFINITY });
    listener.switched(DEAR, doneOn(0, { cause: 'latency-binds' }));
    listener.violation('latency', 'begins', late);
    listener.violation('latency', 'ends', shed);
    listener.shed(shed);
    for (const event of events) parse(event, 'event');
    expect(events).toMatchObject([
      { kind: 'switch', from: { level: 1 }, to: { level: 0 }, cause: 'latency-binds', unreported: 0 },
      { kind: 'violation', limit: 'latency', state: 'begins', cause: 'gave-way', slowdown: 1.5 },
      { kind: 'violation', limit: 'latency', state: 'ends' },
      { kind: 'shed', frames: 1, timeLeftMs: -3, cause: 'too-late' },
    ]);
    expect(
      ring
        .decisions({ limit: 10 })
        .map(({ kind }) => kind)
        .toSorted(),
    ).toEqual(['shed', 'switch', 'violation', 'violation']);
  });

  test('is counted exactly while events are held to thirty a minute', async () => {
    const { clock, events, gatherer, listener } = listening();
    for (let frame = 0; frame < 100; frame += 1) {
      listener.shed(shed);
      listener.switched(frame % 2 === 0 ? DEAR : CHEAP, doneOn(frame % 2 === 0 ? 0 : 1));
    }
    listener.skipped(7);
    await clock.advance(60_000);
    listener.shed(shed);
    listener.switched(CHEAP, doneOn(1));
    expect(gatherer.take(END, 10)).toMatchObject({ sheds: 101, switches: 101, skipped: 7 });
    const sheds = events.flatMap((event) => (event.kind === 'shed' ? [event.frames] : []));
    expect(sheds).toHaveLength(31);
    expect(sheds.reduce((sum, frames) => sum + frames, 0)).toBe(101);
    const switches = events.flatMap((event) => (event.kind === 'switch' ? [event.unreported] : []));
    expect([switches.length, switches.at(-1)]).toEqual([31, 70]);
  });

  test('of the end of a violation comes through whenever its begin did', () => {
    const { events, listener } = listening();
    const late = doneOn(0, { cause: 'gave-way', gaveWay: ['latency'] });
    for (let time = 0; time < 14; time += 1) {
      listener.violation('latency', 'begins', late);
      listener.violation('latency', 'ends', late);
    }
    for (const limit of ['latency', 'energy', 'accuracy'] as const) listener.violation(limit, 'begins', late);
    for (const limit of ['latency', 'energy', 'accuracy'] as const) listener.violation(limit, 'ends', late);
    const told = events.flatMap((event) =>
      event.kind === 'violation' ? [`${event.limit} ${event.state}`] : [],
    );
    expect(told.slice(-4)).toEqual(['latency begins', 'energy begins', 'latency ends', 'energy ends']);
  });

  test('of broken cameras and models is counted, and a few lines are logged', () => {
    const { gatherer, lines, listener } = listening();
    for (let frame = 0; frame < 50; frame += 1) {
      listener.unreadable('no cable');
      listener.failed('no memory');
    }
    expect(gatherer.take(END, 10)).toMatchObject({ unreadable: 50, failed: 50 });
    expect(lines).toHaveLength(6);
  });
});
