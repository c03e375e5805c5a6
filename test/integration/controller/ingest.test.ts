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
