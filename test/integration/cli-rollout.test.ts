import { createServer } from 'node:http';
import type { AddressInfo } from 'node:net';
import { text } from 'node:stream/consumers';
import { Command } from 'commander';
import { expect, test } from 'vitest';
import {
  type RolloutDetail,
  RolloutDetailSchema,
  RolloutStartSchema,
} from '../../controller/api/rollout-schemas.ts';
import { type Cli, createCli } from '../../controller/cli/context.ts';
import { addRollout } from '../../controller/cli/rollout.ts';
import { progressLine } from '../../controller/cli/rollout-wait.ts';
import { formatSheet } from '../../shared/cli/format.ts';
import { describeError, exitCodeOf } from '../../shared/errors.ts';
import { parserOf } from '../../shared/schema.ts';
import { jumpingClock } from '../support/clock.ts';

const parseStart = parserOf(RolloutStartSchema);
const parseDetail = parserOf(RolloutDetailSchema);

const ROLLOUT: RolloutDetail = parseDetail(
  {
    ...{ id: 'fm-4', kind: 'family', release: { name: 'fm', version: 4 } },
    ...{ state: 'running', done: false, stage: 1, stages: 2, createdTs: 0 },
    counts: { IN_PROGRESS: 1, QUEUED: 2 },
    waitsFor: '1 devices of stage 1 of 2',
    plan: {
      ...{ target: { selector: 'site=lab' }, dynamic: false, canary: '1,100%', onAbort: 'revert' },
      ...{ soakMs: 120_000, stepTimeoutMs: 1, joinTimeoutMs: 1, baselineMs: 1 },
    },
    gates: [
      {
        gate: 'miss<1%',
        unit: 'share',
        now: 0.004,
        before: 0.002,
        limit: 0.01,
        count: 500,
        verdict: 'holds',
      },
      { gate: 'energy<+10%', unit: 'J', count: 0, verdict: 'unknown', why: 'no data of energy' },
    ],
    devices: [
      {
        ...{ device: 'd1', stage: 1, state: 'IN_PROGRESS', sinceTs: 0, online: true, attempts: 1 },
        ...{ step: 'fetching', bytes: 1, ofBytes: 3, waitsFor: 'the device to get on' },
      },
      { device: 'd2', stage: 2, state: 'QUEUED', sinceTs: 0, online: false, attempts: 0 },
    ],
  },
  'sample',
);

interface Asked {
  readonly route: string;
  readonly body: unknown;
}

/** A controller that answers with one rollout after the other, the last one again and again. */
async function world(answers: readonly Partial<RolloutDetail>[]) {
  const asked: Asked[] = [];
  const server = createServer(async (request, response) => {
    const body = await text(request);
    asked.push({
      route: `${request.method} ${request.url}`,
      body: body === '' ? undefined : JSON.parse(body),
    });
    const answer = { ...ROLLOUT, ...answers[Math.min(asked.length, answers.length) - 1] };
    response.end(
      JSON.stringify(
        request.url === '/v1/rollouts' && request.method === 'GET' ? { rollouts: [answer] } : answer,
      ),
    );
  });
  await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve));
  const url = `http://127.0.0.1:${(server.address() as AddressInfo).port}`;
  const run = async (...args: readonly string[]) => {
    let out = '';
    let err = '';
    const write = (data: string): void => {
      out += data;
    };
    const cli: Cli = {
      ...createCli({ OFA_FLEET_URL: url, OFA_FLEET_TOKEN: 'secret-token-1234567890' }),
      ...{ write, clock: jumpingClock(), stopped: () => new Promise(() => undefined) },
      note: (line) => {
        err += `${line}\n`;
      },
      print: (sheet, format) => write(formatSheet(sheet, { format, color: false })),
    };
    const program = new Command('ofa-fleet');
    addRollout(program, cli);
    let status = 0;
    await program.parseAsync(['rollout', ...args], { from: 'user' }).catch((error: unknown) => {
      status = exitCodeOf(error);
      err += `${describeError(error)}\n`;
    });
    return { status, out, err };
  };
  return { run, asked, [Symbol.asyncDispose]: async () => void server.close() };
}

test('start asks for what its options say, in the words of the API', async () => {
  await using here = await world([{}]);
  const gates = ['--gate', 'miss<1%', '--gate', 'energy<+10%'];
  const pace = [
    '--canary',
    '1,10%,100%',
    '--rate',
    '50/min',
    '--window',
    '0 2 * * *',
    '--window-zone',
    'Europe/Berlin',
  ];
  const { status, out } = await here.run(
    'start',
    'fm@4',
    '-l',
    'site=lab',
    ...gates,
    ...pace,
    '--soak',
    '0s',
    '-o',
    'json',
  );
  expect(status).toBe(0);
  expect(JSON.parse(out)).toEqual(ROLLOUT);
  const [{ route, body } = { route: '', body: {} }] = here.asked;
  expect(route).toBe('POST /v1/rollouts');
  // The API's defaults are its own.
  parseStart({ dynamic: false, force: false, ...Object(body) }, 'request');
  expect(body).toEqual({
    ...{ release: 'fm', version: 4, kind: 'family', target: { selector: 'site=lab' }, order: 'drawn' },
    ...{ gates: ['miss<1%', 'energy<+10%'], canary: '1,10%,100%', rate: '50/min', onAbort: 'revert' },
    ...{ soakMs: 0, stepTimeoutMs: 3_600_000, joinTimeoutMs: 604_800_000, baselineMs: 600_000 },
    maintenance: { cron: '0 2 * * *', zone: 'Europe/Berlin', lengthMs: 3_600_000 },
  });
});

test.each([
  [['start', 'fm'], 'say which devices'],
  [['start', 'fm', '--all', '--device', 'd1'], 'say which devices'],
  [['start', 'fm@x', '--all'], 'VERSION'],
  [['start', 'fm@1@2', '--all'], 'RELEASE'],
  [['start', 'fm', '--all', '--soak', '-1s'], '--soak'],
  [['start', 'fm', '--all', '--window-length', '1h'], '--window'],
  [['abort', 'fm-4', '--on-abort', 'cry'], '--on-abort'],
])('wrong words never reach the controller: %j', async (args, why) => {
  await using here = await world([{}]);
  const { status, err } = await here.run(...args);
  expect(status).toBe(2);
  expect(err).toContain(why);
  expect(here.asked).toEqual([]);
});

test('--wait shows how far it is and ends with the outcome', async () => {
  const completed = { state: 'completed', done: true, counts: { SUCCEEDED: 3 } };
  await using good = await world([{}, {}, {}, completed]);
  const done = await good.run('start', 'fm', '--all', '--wait');
  expect(done.status).toBe(0);
  expect(done.err.match(/fm-4 running/g)).toHaveLength(1);
  expect(done.err).toContain('fm-4 completed; stage 1 of 2; 3 succeeded');
  await using partly = await world([{}, { ...completed, counts: { SUCCEEDED: 2, FAILED: 1 } }]);
  expect(await partly.run('start', 'fm', '--all', '--wait')).toMatchObject({ status: 6 });
  await using bad = await world([{}, { state: 'aborting', reason: 'gate miss<1% is broken' }]);
  const aborted = await bad.run('start', 'fm', '--all', '--wait');
  expect(aborted).toMatchObject({
    status: 4,
    err: expect.stringContaining("'fm-4' is aborting: gate miss<1% is broken"),
  });
  await using slow = await world([{}]);
  expect(await slow.run('start', 'fm', '--all', '--wait', '--wait-timeout', '5s')).toMatchObject({
    status: 5,
  });
});

test('status shows the state, the gates with what was measured, and every device', async () => {
  await using here = await world([{}]);
  const { out } = await here.run('status', 'fm-4');
  expect(out).toMatch(/^state +running$/m);
  expect(out).toMatch(/^devices +1 in progress, 2 queued$/m);
  expect(out).toMatch(/^miss<1% +0.4% +0.2% +1% +500 +holds$/m);
  expect(out).toMatch(/^energy<\+10% +- +- +- +0 +no data of energy$/m);
  expect(out).toMatch(/^d1 +1 +IN_PROGRESS +fetching +33% .* waits for the device to get on$/m);
  expect(out).toMatch(/^d2 +2 +QUEUED \(offline\)/m);
  expect((await here.run('list')).out).toMatch(
    /^fm-4 +family +fm@4 +running +1\/2 +1 in progress, 2 queued/m,
  );
  expect((await here.run('abort', 'fm-4', '--on-abort', 'keep')).err).toContain('fm-4 running');
  await here.run('undo', 'fm-4');
  expect(here.asked.slice(2)).toEqual([
    { route: 'POST /v1/rollouts/fm-4/abort', body: { onAbort: 'keep' } },
    { route: 'POST /v1/rollouts/fm-4/undo', body: undefined },
  ]);
});

test('progress takes its own place on a terminal, and is a line each elsewhere', () => {
  let written = '';
  const notes: string[] = [];
  const write = (data: string): void => {
    written += data;
  };
  for (const isTTY of [true, false]) {
    const line = progressLine({ isTTY, columns: 8, write }, (note) => notes.push(note));
    for (const each of ['one', 'two and more']) line.show(each, each);
    line.show('two until later', 'two and more');
    line.end();
  }
  expect(written).toBe('\r\u001b[2Kone\r\u001b[2Ktwo and\r\u001b[2Ktwo unt\n');
  expect(notes).toEqual(['one', 'two and more']);
});

test('a time to wait for is refused where nothing is waited for', async () => {
  await using here = await world([{}]);
  const { status, err } = await here.run('start', 'fm', '--all', '--wait-timeout', '5s');
  expect({ status, err, asked: here.asked }).toEqual({
    ...{ status: 2, asked: [] },
    err: '--wait-timeout says nothing without --wait\n',
  });
});
