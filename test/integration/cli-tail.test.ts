import { Writable } from 'node:stream';
import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import type { FakeApi, Reply } from './cli/fake-api.ts';
import { startFleet } from './cli/run.ts';
import { eventLine, windowLine } from './cli/samples.ts';
import { createWorld, TOKEN, type World, words } from './cli/world.ts';

const TAIL = 'GET /v1/telemetry/tail';
const FAULT = eventLine('jetson-1', { kind: 'fault', what: 'camera', reason: 'gone\u001b[31m' });
const SHED = eventLine('jetson-2', { kind: 'shed', frames: 2, reason: 'burst' });
const WINDOW = windowLine('jetson-1');

let world: World;
let api: FakeApi;

beforeEach(async () => {
  world = await createWorld();
  api = world.api;
});

afterEach(() => world[Symbol.asyncDispose]());

/** Lines in bits that do not end where lines do, with an empty one between them. */
function tailOf(lines: readonly object[], after: NonNullable<Reply['after']>): Reply {
  const text = `\n${lines.map((line) => `${JSON.stringify(line)}\n`).join('\n')}`;
  return { body: undefined, bits: [text.slice(0, 7), text.slice(7, 300), text.slice(300)], after };
}

describe('telemetry tail', () => {
  it('prints windows and events in a line each, and ends after as many as were asked for', async () => {
    api.script = { [TAIL]: tailOf([WINDOW, FAULT, SHED], 'open') };
    const { status, out, err } = await world.here(words('telemetry tail --what all -l site=lab -n 2'));
    expect({ status, err }).toEqual({ status: 0, err: '' });
    expect(out.split('\n')).toEqual([
      '2026-04-24T03:08:10.000Z  jetson-1  level cpu/2  300 inferences  3 missed  p95 1.9ms of 2ms  accuracy 93.1%  7.25W  54C',
      '2026-04-24T03:06:40.000Z  jetson-1  fault  camera: gone [31m',
      '',
    ]);
    expect(api.seen[0]).toMatchObject({
      query: { what: 'all', selector: 'site=lab' },
      authorization: `Bearer ${TOKEN}`,
    });
  });

  it('prints JSON as it comes, and only events of the kind that was asked for', async () => {
    api.script = { [TAIL]: tailOf([FAULT, SHED, FAULT], 'open') };
    const { out } = await world.here(words('telemetry tail --kind shed -n 1 -o json'));
    expect(out).toBe(`${JSON.stringify(SHED)}\n`);
    expect(api.seen[0]?.query).toEqual({ what: 'events' });
  });

  it.each(['end', 'cut'] as const)(
    'is 7 when the controller goes away (%s), after what had come',
    async (after) => {
      api.script = { [TAIL]: tailOf([WINDOW], after) };
      const { status, out, err } = await world.here(words('telemetry tail'));
      expect(status).toBe(7);
      expect(out).toContain('jetson-1');
      expect(err).toMatch(/^ofa-fleet: the controller [^\n]+ gone[^\n]*\n$/);
    },
  );

  it('ends well on Ctrl-C, however long nothing came', async () => {
    let isAsked: (value: unknown) => void = () => undefined;
    const asked = new Promise((resolve) => {
      isAsked = resolve;
    });
    api.script = {
      [TAIL]: () => {
        isAsked(undefined);
        return tailOf([WINDOW], 'open');
      },
    };
    const env = { OFA_FLEET_URL: api.url, OFA_FLEET_TOKEN: TOKEN };
    const { child, ended } = startFleet(words('telemetry tail'), { home: world.home, env });
    await Promise.all([asked, new Promise((resolve) => child.stdout?.once('data', resolve))]);
    child.kill('SIGINT');
    expect(await ended).toMatchObject({ status: 0, err: '' });
  });

  it('ends when nobody reads it any more', async () => {
    api.script = { [TAIL]: tailOf([WINDOW, FAULT, SHED], 'open') };
    const stdout = new Writable({ write: (_chunk, _encoding, done) => done(new Error('EPIPE')) });
    expect(await world.here(words('telemetry tail --what all'), { stdout })).toMatchObject({ status: 0 });
  });

  it('says what the controller says when it refuses', async () => {
    const error = { code: 'unreachable', message: '32 tails are open already' };
    api.script = { [TAIL]: { status: 503, body: { error } } };
    expect(await world.here(words('telemetry tail'))).toEqual({
      ...{ status: 7, out: '' },
      err: 'ofa-fleet: 32 tails are open already\n',
    });
  });

  it('is 7 when something else answers', async () => {
    api.script = { [TAIL]: { body: undefined, raw: '<html>\n' } };
    const { status, err } = await world.here(words('telemetry tail'));
    expect([status, err]).toEqual([7, expect.stringContaining("is not the controller's API")]);
  });

  it('refuses a kind of windows', async () => {
    const { status, err } = await world.here(words('telemetry tail --what windows --kind shed'));
    expect([status, err]).toEqual([2, expect.stringContaining('--kind is of events')]);
  });
});

describe('events', () => {
  it('that come from now on are followed, with the same filters', async () => {
    api.script = { [TAIL]: tailOf([FAULT, SHED, FAULT], 'open') };
    const { status, out } = await world.here(
      words('events --follow --contains BURST -n 1 --device jetson-2'),
    );
    expect({ status, out }).toEqual({
      status: 0,
      out: '2026-04-24T03:06:40.000Z  jetson-2  shed  2 frames shed: burst\n',
    });
    expect(api.seen[0]?.query).toEqual({ what: 'events', device: 'jetson-2' });
  });

  it('that were are found by their text', async () => {
    api.script = { 'GET /v1/events': { body: { events: [] } } };
    await world.here(words('events --contains camera'));
    expect(api.seen[0]?.query).toEqual({ limit: 50, contains: 'camera' });
  });

  it('are not followed from a time that is over', async () => {
    for (const wrong of ['--since 1h', '-o csv']) {
      expect((await world.here(words(`events --follow ${wrong}`))).status).toBe(2);
    }
  });
});
