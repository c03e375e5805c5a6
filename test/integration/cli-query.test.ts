import { stripVTControlCharacters } from 'node:util';
import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import { METRICS } from '../../controller/api/history-schemas.ts';
import type { FakeApi } from './cli/fake-api.ts';
import { answerOf } from './cli/samples.ts';
import { createWorld, type World, words } from './cli/world.ts';

const QUERY = 'GET /v1/telemetry/query';
const BERLIN = '--time-zone Europe/Berlin';

let world: World;
let api: FakeApi;

beforeEach(async () => {
  world = await createWorld();
  api = world.api;
});

afterEach(() => world[Symbol.asyncDispose]());

function ask(line: string, here?: Parameters<World['here']>[1]) {
  return world.here(words(`telemetry query ${line}`), here);
}

describe('telemetry query', () => {
  it('prints values with a bar each, in the times of the zone, and says where they are from', async () => {
    const answer = answerOf({ 'jetson-1': [2, undefined, 4] }, { resolutionMs: 60_000 });
    api.script = { [QUERY]: { body: answer } };
    const { status, out, err } = await ask(`--metric latencyMs --by device --since 2026-04-24 ${BERLIN}`);
    expect(status).toBe(0);
    expect(out.split('\n')).toEqual([
      'TIME                           DEVICE    VALUE                      COUNT',
      '2026-04-24T05:00:00.000+02:00  jetson-1  2ms  ██████████              100',
      '2026-04-24T05:02:00.000+02:00  jetson-1  4ms  ████████████████████    100',
      '',
    ]);
    expect(err).toBe('2 devices, from summaries of up to 1m; times of Europe/Berlin\n');
    expect(api.seen[0]?.query).toEqual({
      ...{ metric: 'latencyMs', by: 'device', timeZone: 'Europe/Berlin' },
      since: Date.parse('2026-04-23T22:00:00Z'),
    });
  });

  it.each([
    ['W', 0.0123, '12.3mW'],
    ['J', 4_560, '4.56kJ'],
    ['B', 8_123_456_789, '8.12GB'],
    ['Hz', 1_510_400_000, '1510MHz'],
    ['°C', 54.321, '54.32°C'],
    ['/s', 59.9876, '59.99/s'],
  ])('writes a value in %s as people read it', async (unit, value, text) => {
    api.script = { [QUERY]: { body: answerOf({ '': [value] }, { unit }) } };
    expect((await ask('--metric powerW')).out).toContain(`  ${text}  █`);
  });

  it('asks for every kind of bucket, and any percentile', async () => {
    api.script = { [QUERY]: { body: answerOf({}) } };
    for (const bucket of ['90s', 'day', '1d', '1w', 'month']) {
      await ask(`--metric energyJ --agg p99.9 --bucket ${bucket} -o csv`);
    }
    const asked = api.seen.map(({ query }) => query['bucket'] ?? query['bucketMs']);
    expect(asked).toEqual([90_000, 'day', 'day', 'week', 'month']);
    expect(api.seen[0]?.query).toMatchObject({ aggregate: 'p99.9', timeZone: 'UTC' });
  });

  it('keeps messages off standard output: what is lost, late, dated by the controller, coarser, or not there', async () => {
    const odd = answerOf({ '': [1] }, { lost: 1, late: 2, redated: 3, resolutionMs: 3_600_000 });
    api.script = { [QUERY]: { body: odd } };
    const { out, err } = await ask('--metric latencyMs -o json');
    expect(JSON.parse(out)).toEqual(odd);
    expect(err.split('\n')).toEqual([
      '1 record lost in that time: see telemetry gaps',
      '2 windows arrived late',
      '3 windows dated by the controller: the device did not know the time',
      'nothing finer than 1h is kept of some of that time',
      '',
    ]);
    api.script = { [QUERY]: { body: answerOf({}) } };
    expect((await ask('--metric latencyMs -o csv')).err).toBe('no windows in that time\n');
  });

  it('draws a line a series, with a legend, and nothing where there were no windows', async () => {
    const values = [2, 2, undefined, undefined, 2, 2];
    api.script = { [QUERY]: { body: answerOf({ 'jetson-1': values, 'jetson-2': [8, 8, 8, 8, 8, 8] }) } };
    const { status, out } = await ask('--metric latencyMs --by device --plot --time-zone UTC');
    expect(status).toBe(0);
    const lines = out.split('\n');
    expect(lines[0]).toContain('p95 of latencyMs, ms (times of UTC)');
    expect(lines[1]).toContain('● jetson-1   ▲ jetson-2');
    expect(lines.find((line) => line.includes('●●'))).toMatch(/┤●{18} {18}●+ *$/);
    expect(lines.find((line) => line.includes('▲▲'))).toMatch(/┤▲+$/);
    expect(lines.at(-2)).toMatch(/^ +03:00 +03:02 +03:04/);
  });

  it('chooses buckets for a picture where nobody says which, and at most eight series', async () => {
    const many = Object.fromEntries(Array.from({ length: 10 }, (_, index) => [`d-${index}`, [1, 2]]));
    api.script = { [QUERY]: { body: answerOf(many) } };
    const look = { width: 40, color: true };
    const { out, err } = await ask(
      '--metric level --by device --since 2026-04-23 --until 2026-04-24 -o plot',
      {
        look,
      },
    );
    expect(api.seen[0]?.query).toMatchObject({ bucketMs: 1_800_000 });
    expect(err).toContain('2 more series are not drawn\n');
    expect(out).toContain('\u001b[');
    for (const line of out.split('\n')) {
      expect(stripVTControlCharacters(line).length).toBeLessThanOrEqual(look.width);
    }
    await ask('--metric level --since 2016-04-23 --until 2026-04-24 -o plot');
    expect(api.seen[1]?.query).toMatchObject({ bucket: 'month' });
  });

  it('refuses words that mean nothing, before anything is asked', async () => {
    const wrong = [
      ['--metric speed', "--metric: 'speed' is not one of latencyMs"],
      ['--metric level --time-zone Berlin', "--time-zone: 'Berlin' is not a time zone"],
      ['--metric level --by colour', "--by: 'colour' is not one of device, level, family"],
      ['--metric level --bucket year', "--bucket: 'year' is not a duration"],
      ['--metric level --since 1h --until 2h', '--until is not after --since'],
    ] as const;
    for (const [line, message] of wrong) {
      const { status, err } = await ask(line);
      expect([status, err]).toEqual([2, expect.stringContaining(message)]);
    }
    expect(api.seen).toEqual([]);
  });

  it('tells of every metric and its aggregates in its help', async () => {
    const { status, out } = await world.fleet(words('telemetry query --help'));
    expect(status).toBe(0);
    for (const metric of Object.keys(METRICS)) expect(out).toMatch(new RegExp(`^    ${metric}( |$)`, 'm'));
    expect(out).toContain('counters: sum, rate');
    expect((await world.fleet(words('telemetry query --metric level --plot -o csv'))).status).toBe(2);
  });
});
