import { join } from 'node:path';
import { afterEach, beforeEach, expect, test } from 'vitest';
import { type History, openHistory } from '../../../controller/history/history.ts';
import { MIGRATIONS } from '../../../controller/history/migrations.ts';
import { connectWorker, type WorkerLink } from '../../../controller/history/thread/rpc.ts';
import { openSqlite, openSqliteReadOnly } from '../../../shared/sqlite.ts';
import {
  eventPacket,
  eventRecord,
  packetOf,
  START_TS,
  WINDOW_MS,
  windowPacket,
  wireWindow,
} from '../../support/history-records.ts';
import type { TestApi } from '../../support/rpc-worker.ts';
import { temporaryFolder } from '../../support/temp.ts';

const faults: Error[] = [];
const url = new URL('../../support/rpc-worker.ts', import.meta.url);
const connect = (fails = false): Promise<WorkerLink<TestApi>> =>
  connectWorker<TestApi>({
    url,
    name: 'test worker',
    data: { fails },
    onFault: (error) => faults.push(error),
  });

let folder: Awaited<ReturnType<typeof temporaryFolder>>;

beforeEach(async () => {
  faults.length = 0;
  folder = await temporaryFolder();
});

afterEach(() => folder[Symbol.asyncDispose]());

const open = (maxBytes?: number): Promise<History> =>
  openHistory({
    maxBytes,
    stateDir: folder.path,
    now: () => START_TS + 60_000,
    onFault: (error) => faults.push(error),
  });

test('calls are answered, also out of order, and errors come back as what they were', async () => {
  const link = await connect();
  const answers = await Promise.all([link.call('double', 1), link.call('later', 5), link.call('double', 2)]);
  expect(answers).toEqual([2, 5, 4]);
  await expect(link.call('refuse', 'not this')).rejects.toMatchObject({
    code: 'invalid',
    message: 'not this',
  });
  await link.close();
  await expect(link.call('double', 1)).rejects.toThrow('test worker is closed');
  expect(faults).toEqual([]);
});

test('a worker that cannot open what it serves says why', async () => {
  await expect(connect(true)).rejects.toMatchObject({ code: 'config', message: 'it cannot be opened' });
  expect(faults).toEqual([]);
});

test.each([
  ['throw', 'test worker died: a fault'],
  ['exit', 'test worker ended by itself with exit code 3'],
] as const)('when a worker dies (%s) what is pending fails, and it is told once', async (how, message) => {
  const link = await connect();
  const pending = expect(link.call('untilDoubled', 1e9)).rejects.toMatchObject({ code: 'system', message });
  await link.call('crash', how).catch(() => undefined);
  await pending;
  await expect(link.call('double', 1)).rejects.toMatchObject({ message });
  await link.close();
  expect(faults.map((fault) => fault.message)).toEqual([message]);
});

test('between the steps of a long job calls are answered, and closing ends it', async () => {
  const link = await connect();
  const job = link.call('untilDoubled', 20);
  let steps = 0;
  while (steps < 10) steps = await link.call('steps', undefined);
  for (let call = 0; call < 20; call += 1) await link.call('double', call);
  await job;
  const endless = expect(link.call('untilDoubled', 1e9)).rejects.toMatchObject({ code: 'system' });
  await link.close();
  await endless;
});

test('a history stores what comes, and has it after a restart', async () => {
  const first = await open();
  const event = eventRecord({ seq: 2 });
  const packets = [
    windowPacket(wireWindow({ seq: 1 })),
    eventPacket(event),
    packetOf('telemetry', 'no window'),
  ];
  const result = await first.commit(packets, START_TS + 30_000);
  expect(result).toMatchObject({ windows: 1, events: 1, rejects: [{ reason: 'not-of-schema' }] });
  expect(result.newEvents).toMatchObject([{ device: 'jetson-1', body: event.body }]);
  await first.raise({ device: 'jetson-1', ts: START_TS, what: 'identity', reason: 'two of them' });
  expect(await first.latest(['jetson-1', 'none'])).toMatchObject({
    'jetson-1': { ts: START_TS + WINDOW_MS },
  });
  // The packets stay with the caller, who may try them again.
  expect(await first.commit(packets, START_TS + 30_000)).toMatchObject({
    windows: 0,
    events: 0,
    duplicates: 2,
  });
  await first[Symbol.asyncDispose]();
  await using second = await open();
  expect(await second.commit(packets, START_TS + 30_000)).toMatchObject({
    windows: 0,
    events: 0,
    duplicates: 2,
  });
  expect(await second.stats()).toMatchObject({
    windows: 1,
    events: 2,
    lagRecords: 1,
    lagMs: 60_000 - WINDOW_MS / 2,
  });
  expect(await second.integrity()).toEqual({ ok: true, problems: [] });
  expect(faults).toEqual([]);
});

test('a history of a newer version is refused', async () => {
  openSqlite(join(folder.path, 'history.db'), {
    migrations: [...MIGRATIONS, 'CREATE TABLE newer (x)'],
  }).close();
  await expect(open()).rejects.toMatchObject({
    code: 'config',
    message: expect.stringMatching(/written by a newer version/),
  });
});

test('a full disk refuses everything of a commit in words, and the same is taken when there is room', async () => {
  const packets = Array.from({ length: 300 }, (_, index) => windowPacket(wireWindow({ seq: index + 2 })));
  {
    await using full = await open(128 * 1024);
    await full.commit([windowPacket(wireWindow({ seq: 1 }))], START_TS);
    const message = expect.stringMatching(/^the disk is full: nothing can be stored/);
    await expect(full.commit(packets, START_TS)).rejects.toMatchObject({ code: 'system', message });
    expect(await full.commit([windowPacket(wireWindow({ seq: 2 }))], START_TS)).toMatchObject({ windows: 1 });
    expect(await full.stats()).toMatchObject({ windows: 2 });
  }
  await using roomy = await open();
  expect(await roomy.commit(packets, START_TS)).toMatchObject({ windows: 299, duplicates: 1 });
  expect(await roomy.integrity()).toMatchObject({ ok: true });
});

test('while roll-ups are made commits go on, and answers are the same before and after', async () => {
  await using history = await open();
  const packets = (from: number) =>
    Array.from({ length: 200 }, (_, index) => windowPacket(wireWindow({ seq: from + index })));
  await history.commit(packets(1), START_TS + 2_000_000);
  const rolling = history.rollUp(new Map([['lab', ['jetson-1']]]));
  const committed = await history.commit(packets(201), START_TS + 4_000_000);
  expect(committed).toMatchObject({ windows: 200 });
  const count = async () => {
    const query = {
      metric: 'inferences',
      aggregate: 'sum',
      since: START_TS - 80_000,
      until: START_TS + 5_000_000,
    } as const;
    const { series } = await history.query({ query, devices: undefined, now: START_TS + 5_000_000 });
    return series[0]?.points[0]?.value;
  };
  expect(await count()).toBe(1_200);
  await rolling;
  await history.rollUp(new Map());
  expect(await count()).toBe(1_200);
  expect(await history.stats()).toMatchObject({ windows: 400, lagRecords: 0, lagMs: 0 });
  await history.retain({ rawMs: 1, minuteMs: 0, hourMs: 0, dayMs: 0 }, START_TS + 1e9);
  expect(await history.stats()).toMatchObject({ windows: 0 });
  expect(await count()).toBe(1_200);
  expect(await history.commit(packets(201), START_TS)).toMatchObject({ windows: 0, duplicates: 200 });
  expect(await history.checkpoint()).toMatchObject({ isBusy: false });
  expect(await history.integrity()).toEqual({ ok: true, problems: [] });
});

test('readers see whole commits only, while there are many', async () => {
  await using history = await open();
  const reader = openSqliteReadOnly(join(folder.path, 'history.db'));
  const counts = new Set<unknown>();
  for (let batch = 0; batch < 20; batch += 1) {
    const seqs = Array.from({ length: 10 }, (_, index) => batch * 10 + index + 1);
    const done = history.commit(
      seqs.map((seq) => windowPacket(wireWindow({ seq }))),
      START_TS,
    );
    counts.add(reader?.prepare('SELECT count(*) % 10 FROM windows').pluck().get());
    await done;
  }
  reader?.close();
  expect([...counts]).toEqual([0]);
});
