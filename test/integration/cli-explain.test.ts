import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import type { EventRow } from '../../controller/api/schemas.ts';
import type { ExplainedDecision } from '../../shared/protocol/explanation.ts';
import type { FakeApi, Reply, Seen } from './cli/fake-api.ts';
import { statedOf } from './cli/samples.ts';
import { createWorld, type World, words } from './cli/world.ts';

const AT = Date.parse('2026-04-24T03:06:40.000Z');
const COMMANDS = 'POST /v1/devices/jetson-1/commands';
const EVENTS = 'GET /v1/events';

let world: World;
let api: FakeApi;

beforeEach(async () => {
  world = await createWorld();
  api = world.api;
});

afterEach(() => world[Symbol.asyncDispose]());

const fleet = (args: readonly string[]) => world.here(args);

function answerOf(result: object): Reply {
  const answered = { v: 1, state: 'done', ts: AT, ...result };
  return { body: { id: '00000000-0000', device: 'jetson-1', roundTripMs: 3, result: answered } };
}

const DECISION: ExplainedDecision = {
  kind: 'switch',
  ts: AT - 1_000,
  from: { pe: 'cpu', level: 2 },
  to: { pe: 'cpu', level: 1 },
  cause: 'latency-binds',
  gaveWay: [],
  requirement: { latencyMs: 20 },
  candidates: [],
};
const EXPLANATION = { ts: AT, oldestTs: AT - 60_000, decisions: [DECISION] };

function eventAt(seconds: number, body: EventRow['body']): EventRow {
  return { device: 'jetson-1', ts: AT + seconds * 1_000, kind: body.kind, body };
}

function switchEvent(seconds: number): EventRow {
  const from = { pe: 'cpu', level: 2 } as const;
  const to = { pe: 'cpu', level: 1 } as const;
  return eventAt(seconds, { kind: 'switch', from, to, reason: `at ${seconds}`, unreported: 0 });
}

/** What the history answers to a query: newest first, as the API has it. */
function historyOf(events: readonly EventRow[]) {
  return ({ query }: Seen): Reply => {
    const { since = 0, until = Number.POSITIVE_INFINITY, limit = 100 } = query;
    const found = events.filter(({ ts }) => ts >= Number(since) && ts < Number(until));
    return { body: { events: found.toSorted((a, b) => b.ts - a.ts).slice(0, Number(limit)) } };
  };
}

describe('explain', () => {
  it('asks the device, and prints its words or its data', async () => {
    const lines = ['2026-04-24T03:06:39.000Z  switch cpu/2 -> cpu/1', '  why:       load\u001b[31m'];
    api.script = { [COMMANDS]: answerOf({ lines, explanation: EXPLANATION }) };
    const told = await fleet(words('explain jetson-1 --at 2026-04-24T03:06:40Z -n 3'));
    expect(told).toMatchObject({ status: 0, err: '' });
    expect(told.out).toBe(`${lines[0]}\n  why:       load [31m\n`);
    expect(api.seen[0]?.body).toEqual({ kind: 'explain', timeoutMs: 5_000, at: AT, limit: 3 });
    const json = await fleet(words('explain jetson-1 --since 2026-04-24 -o json'));
    expect(JSON.parse(json.out)).toEqual({ source: 'device', device: 'jetson-1', ...EXPLANATION });
    expect(api.seen[1]?.body).toMatchObject({ since: Date.parse('2026-04-24'), limit: 5 });
  });

  it('tells what the history holds when the device is offline, and says so', async () => {
    const message = 'device jetson-1 is offline since 2026-04-24T03:00:00.000Z';
    const events = [-600, -30, -20, -10, 10, 20, 30].map(switchEvent);
    events.push(eventAt(-25, { kind: 'shed', frames: 2, reason: 'burst' }));
    events.push(
      eventAt(-24, { kind: 'gap', bootId: '0000aaaa-0001', from: 1, to: 2, records: 2, reason: 'x' }),
    );
    api.script = {
      [COMMANDS]: { status: 504, body: { error: { code: 'timeout', message } } },
      [EVENTS]: historyOf(events),
    };
    const told = await fleet(words('explain jetson-1 --at 2026-04-24T03:06:40Z -n 4'));
    expect(told.status).toBe(0);
    expect(told.err).toContain(`${message}; this is what the history holds`);
    expect(
      told.out
        .trimEnd()
        .split('\n')
        .map((line) => line.slice(0, 32)),
    ).toEqual([
      '2026-04-24T03:06:20.000Z  switch',
      '2026-04-24T03:06:30.000Z  switch',
      '2026-04-24T03:06:50.000Z  switch',
      '2026-04-24T03:07:00.000Z  switch',
    ]);
    const json = JSON.parse((await fleet(words('explain jetson-1 -n 2 -o json'))).out);
    expect(json).toMatchObject({
      source: 'history',
      why: message,
      events: [{ ts: AT + 20_000 }, { ts: AT + 30_000 }],
    });
  });

  it('asks the history for a time that the device has forgotten, or a device too old to explain', async () => {
    const late = { ...EXPLANATION, oldestTs: AT + 5_000, decisions: [] };
    api.script = {
      [COMMANDS]: answerOf({ lines: [], explanation: late }),
      [EVENTS]: historyOf([switchEvent(-5)]),
    };
    const forgot = await fleet(words('explain jetson-1 --at 2026-04-24T03:06:40Z'));
    expect(forgot.err).toContain('jetson-1 remembers only what came since 2026-04-24T03:06:45.000Z');
    expect(forgot.out).toContain('switch  cpu/2 -> cpu/1: at -5');
    api.script = { [COMMANDS]: answerOf({ state: 'unknown-kind' }), [EVENTS]: historyOf([]) };
    const old = await fleet(words('explain jetson-1'));
    expect(old).toMatchObject({ status: 0, out: '' });
    expect(old.err).toContain('update it');
    expect(old.err).toContain('the history holds no decision of jetson-1');
  });

  it('fails for a device that is not known, and refuses wrong words', async () => {
    const body = { error: { code: 'not-found', message: 'device jetson-1 is not known' } };
    api.script = { [COMMANDS]: { status: 404, body } };
    expect((await fleet(words('explain jetson-1'))).status).toBe(3);
    for (const wrong of ['explain jetson-1 --at noon', 'explain jetson-1 -n 9999']) {
      expect((await fleet(words(wrong))).status).toBe(2);
    }
  });
});

describe('limits', () => {
  it('are set in their units, all at once, and shown so', async () => {
    const requirement = { powerW: 12, energyJ: 0.05, tempC: 80, price: 0.02, priority: 'accuracy,latency' };
    const stated = { ...statedOf({ kind: 'fleet' }), requirement };
    api.script = { 'PATCH /v1/budgets': { body: stated } };
    const line = 'budget set --power 12W --energy 50mJ --temp 80C --price 0.02 --priority accuracy,latency';
    const { out } = await fleet(words(line));
    expect(api.seen[0]?.body).toEqual({ scope: { kind: 'fleet' }, set: requirement });
    expect(out).toMatch(/^fleet( +-){3} +12W +50mJ +80C +0\.02 +accuracy,latency +3$/m);
    await fleet(words('budget clear power temp'));
    expect(api.seen[1]?.body).toEqual({ scope: { kind: 'fleet' }, clear: ['powerW', 'tempC'] });
  });

  it('that cannot be are refused before anything is asked', async () => {
    for (const wrong of ['--power -3W', '--priority energy,energy']) {
      const { status, err } = await fleet(words(`budget set --latency 5ms ${wrong}`));
      expect([status, err]).toEqual([2, expect.stringContaining(`ofa-fleet: ${wrong.split(' ')[0]}: `)]);
    }
    expect(api.seen).toEqual([]);
  });
});

describe('answers of a device', () => {
  it('to profile and audit are printed in its words or as its data', async () => {
    const data = { points: [{ level: 0, latencyMs: 1.2 }] };
    api.script = { [COMMANDS]: answerOf({ lines: ['cpu/0  1.2ms'], data }) };
    expect((await fleet(words('devices profile jetson-1'))).out).toBe('cpu/0  1.2ms\n');
    await fleet(words('devices profile jetson-1 --measure --timeout 60s'));
    expect(JSON.parse((await fleet(words('devices audit jetson-1 -o json'))).out)).toEqual(data);
    expect(api.seen.map(({ body }) => body)).toEqual([
      { kind: 'profile', timeoutMs: 5_000, action: 'show' },
      { kind: 'profile', timeoutMs: 60_000, action: 'measure' },
      { kind: 'audit', timeoutMs: 5_000 },
    ]);
  });

  it('in events are told in a line each', async () => {
    const events = [
      eventAt(3, { kind: 'shed', frames: 2, reason: 'burst' }),
      eventAt(2, { kind: 'drift', state: 'begins', pe: 'cpu', level: 2, reason: 'agreement fell' }),
      eventAt(1, { kind: 'quarantine', state: 'begins', pe: 'gpu', level: 3, reason: 'it crashed' }),
    ];
    api.script = { [EVENTS]: { body: { events } } };
    const { out } = await fleet(words('events --kind shed'));
    expect(out).toContain('2 frames shed: burst');
    expect(out).toContain('level cpu/2 drifts: agreement fell');
    expect(out).toContain('gpu/3 is kept out of service: it crashed');
  });
});
