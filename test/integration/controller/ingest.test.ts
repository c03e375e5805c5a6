import { expect, test } from 'vitest';
import { openHistory } from '../../../controller/history/history.ts';
import { createIngest } from '../../../controller/ingest/ingest.ts';
import { createRejects } from '../../../controller/ingest/rejects.ts';
import { systemClock } from '../../../shared/clock.ts';
import type { Ack } from '../../../shared/protocol/event.ts';
import { eventually, silentLog, windowOf } from '../../support/controller.ts';
import { temporaryFolder } from '../../support/temp.ts';

function ingestInto(history: ReturnType<typeof openHistory>) {
  const acks: Ack[] = [];
  const rejects = createRejects({ clock: systemClock, log: silentLog });
  const ingest = createIngest({
    clock: systemClock,
    random: () => 0.1,
    log: silentLog,
    rejects,
    commit: history.commit,
    onCommitted: () => undefined,
    acknowledge: (_device, ack) => acks.push(ack),
  });
  return { ingest, acks, rejects };
}

test('a full disk is shown, nothing is acknowledged, and all is stored once there is room', async () => {
  await using folder = await temporaryFolder();
  using history = openHistory(folder.path);
  const pages = Number(history.sqlite.pragma('page_count', { simple: true }));
  history.sqlite.pragma(`max_page_count = ${pages}`);
  const { ingest, acks } = ingestInto(history);
  await using _running = ingest;
  ingest.start();
  for (let seq = 1; seq <= 300; seq += 1) ingest.push({ kind: 'window', envelope: windowOf({ seq }) });
  await eventually(() => expect(ingest.state().stalled).toContain('full'));
  expect(acks).toEqual([]);
  expect(ingest.state().pending).toBe(300);
  history.sqlite.pragma(`max_page_count = ${pages + 10_000}`);
  await eventually(() =>
    expect(ingest.state()).toMatchObject({ pending: 0, windows: 300, stalled: undefined }),
  );
  expect(acks.flatMap(({ ranges }) => ranges)).toEqual([[1, 300]]);
});

test('records beyond the limit are dropped and counted, for their senders to repeat', async () => {
  await using folder = await temporaryFolder();
  using history = openHistory(folder.path);
  const { ingest, acks, rejects } = ingestInto(history);
  for (let seq = 1; seq <= 20_001; seq += 1) ingest.push({ kind: 'window', envelope: windowOf({ seq }) });
  expect(rejects.counts()).toEqual({ overload: 1 });
  await ingest[Symbol.asyncDispose]();
  expect(history.counts().windows).toBe(20_000);
  expect(acks.flatMap(({ ranges }) => ranges).at(-1)).toEqual([19_501, 20_000]);
});

test('a record that can never be stored holds up no other', async () => {
  await using folder = await temporaryFolder();
  using history = openHistory(folder.path);
  const { ingest, acks, rejects } = ingestInto(history);
  await using _running = ingest;
  for (let seq = 1; seq <= 20; seq += 1) {
    const envelope = windowOf({ seq });
    // More than an INTEGER column holds.
    const body = seq === 7 ? { ...envelope.body, switches: 1e300 } : envelope.body;
    ingest.push({ kind: 'window', envelope: { ...envelope, body } });
  }
  ingest.start();
  await eventually(() =>
    expect(ingest.state()).toMatchObject({ pending: 0, windows: 19, stalled: undefined }),
  );
  expect(rejects.counts()).toEqual({ 'not-storable': 1 });
  expect(acks.flatMap(({ ranges }) => ranges)).toEqual([
    [1, 6],
    [8, 20],
  ]);
});

test('the same record twice in one commit is stored once and acknowledged', async () => {
  await using folder = await temporaryFolder();
  using history = openHistory(folder.path);
  const { ingest, acks } = ingestInto(history);
  for (let copy = 0; copy < 2; copy += 1) ingest.push({ kind: 'window', envelope: windowOf({ seq: 3 }) });
  await ingest[Symbol.asyncDispose]();
  expect(ingest.state()).toMatchObject({ windows: 1, duplicates: 1 });
  expect(acks.flatMap(({ ranges }) => ranges)).toEqual([[3, 3]]);
});

test('what is acknowledged survives a power cut', async () => {
  await using folder = await temporaryFolder();
  using history = openHistory(folder.path);
  const FULL = 2;
  expect(history.sqlite.pragma('synchronous', { simple: true })).toBe(FULL);
});
