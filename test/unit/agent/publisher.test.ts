import { expect, test } from 'vitest';
import type { StoredRecord } from '../../../agent/telemetry/outbox.ts';
import { createPublisher, type RecordSender } from '../../../agent/telemetry/publisher.ts';
import { BOOT, faultOf, outboxOf, type StateFolder, stampAt, stateFolder } from '../../support/agent.ts';
import { manualClock } from '../../support/clock.ts';

const ACK_TIMEOUT_MS = 5_000;
const PAUSE_MS = 20;

/** A publisher over a real outbox with `backlog` records, and a sender that keeps what it was given. */
function publishing(folder: StateFolder, { backlog = 0, maxUnderWay = 1_000 } = {}) {
  const clock = manualClock();
  const outbox = outboxOf(folder.open());
  const publisher = createPublisher({
    outbox,
    clock,
    maxUnderWay,
    backlogPauseMs: PAUSE_MS,
    ackTimeoutMs: ACK_TIMEOUT_MS,
  });
  const record = (count = 1): void => {
    for (let index = 0; index < count; index += 1) outbox.append(faultOf('x'), stampAt(index));
    publisher.wake();
  };
  record(backlog);
  const sent: number[] = [];
  const sentAtMs = new Set<number>();
  const sender: RecordSender = {
    windows: async (records: readonly StoredRecord[]) => {
      sent.push(...records.map(({ seq }) => seq));
    },
    event: async ({ seq }) => {
      sent.push(seq);
      sentAtMs.add(clock.monoMs());
    },
  };
  const stop = new AbortController();
  const drained = publisher.drain(sender, stop.signal);
  return {
    clock,
    outbox,
    publisher,
    sent,
    sentAtMs,
    record,
    drained,
    acknowledge: (from: number, to: number) => publisher.acknowledged({ bootId: BOOT, ranges: [[from, to]] }),
    end: async () => {
      stop.abort();
      await drained;
    },
  };
}

const range = (from: number, to: number): number[] =>
  Array.from({ length: to - from + 1 }, (_, index) => from + index);

test('what is new goes before the backlog, and the backlog is paced', async () => {
  await using folder = await stateFolder();
  const { clock, sent, record, end } = publishing(folder, { backlog: 250 });
  await clock.advance(0);
  expect(sent).toEqual(range(1, 100));
  record(3);
  await clock.advance(PAUSE_MS - 1);
  expect(sent).toHaveLength(100);
  await clock.advance(1);
  expect(sent.slice(100)).toEqual([...range(251, 253), ...range(101, 200)]);
  await clock.advance(PAUSE_MS);
  expect(sent.slice(203)).toEqual(range(201, 250));
  await end();
});

test('a new record is sent at once', async () => {
  await using folder = await stateFolder();
  const { clock, sent, record, end } = publishing(folder);
  await clock.advance(0);
  record();
  await clock.advance(0);
  expect(sent).toEqual([1]);
  await end();
});

test('no more than so many are under way, and acknowledgements make room', async () => {
  await using folder = await stateFolder();
  const { clock, sent, acknowledge, outbox, end } = publishing(folder, { backlog: 60, maxUnderWay: 25 });
  await clock.advance(1_000);
  expect(sent).toEqual(range(1, 25));
  acknowledge(1, 10);
  await clock.advance(1_000);
  expect(sent).toEqual(range(1, 35));
  expect(outbox.totals().pending).toBe(50);
  await end();
});

test('nothing is sent twice while it is under way', async () => {
  await using folder = await stateFolder();
  const { clock, sent, record, acknowledge, end } = publishing(folder, { backlog: 120 });
  for (const seq of range(121, 160)) {
    record();
    acknowledge(seq - 100, seq - 95);
    await clock.advance(100);
  }
  expect(sent.toSorted((a, b) => a - b)).toEqual(range(1, 160));
  await end();
});

test('what is not acknowledged is sent again, ever more patiently, and an acknowledgement ends the patience', async () => {
  await using folder = await stateFolder();
  const { clock, sent, sentAtMs, record, acknowledge, end } = publishing(folder);
  record(2);
  await clock.advance(40_000);
  // After 5 s, then 10 s and 20 s more.
  expect([...sentAtMs]).toEqual([0, 5_000, 15_000, 35_000]);
  acknowledge(1, 1);
  const before = sent.length;
  await clock.advance(2 * ACK_TIMEOUT_MS);
  expect(sent.slice(before)).toContain(2);
  expect(sent.slice(before)).not.toContain(1);
  await end();
});

test('an acknowledgement of another boot leaves this one alone', async () => {
  await using folder = await stateFolder();
  const { publisher, outbox, record, end } = publishing(folder);
  record(2);
  publisher.acknowledged({ bootId: '0000bbbb-0001', ranges: [[1, 2]] });
  expect(outbox.totals().pending).toBe(2);
  await end();
});

test('a failure to send ends the drain, and the next one begins anew', async () => {
  await using folder = await stateFolder();
  const { clock, publisher, sent, end } = publishing(folder, { backlog: 2 });
  await clock.advance(PAUSE_MS);
  await end();
  const broken = async (): Promise<void> => {
    throw new Error('line cut');
  };
  const failing = publisher.drain({ windows: broken, event: broken }, new AbortController().signal);
  await expect(failing).rejects.toThrow('line cut');
  const again = new AbortController();
  const drained = publisher.drain(
    { windows: async () => undefined, event: async ({ seq }) => void sent.push(seq) },
    again.signal,
  );
  await clock.advance(PAUSE_MS);
  expect(sent).toEqual([1, 2, 1, 2]);
  again.abort();
  await drained;
});

test('two drains at once are refused', async () => {
  await using folder = await stateFolder();
  const { publisher, end } = publishing(folder);
  const sender = { windows: async () => undefined, event: async () => undefined };
  const second = publisher.drain(sender, new AbortController().signal);
  await expect(second).rejects.toMatchObject({ code: 'conflict' });
  await end();
});

test('a batch stays one message', async () => {
  await using folder = await stateFolder();
  const clock = manualClock();
  const outbox = outboxOf(folder.open());
  const publisher = createPublisher({
    outbox,
    clock,
    maxUnderWay: 500,
    backlogPauseMs: 20,
    ackTimeoutMs: 5_000,
  });
  for (const size of [30_000, 30_000, 30_000, 90_000, 10]) {
    outbox.append(faultOf('x'.repeat(size)), stampAt(0));
  }
  const stop = new AbortController();
  const batches: number[] = [];
  const event = async ({ seq }: StoredRecord): Promise<void> => {
    batches.push(seq);
  };
  const drained = publisher.drain({ windows: async () => undefined, event }, stop.signal);
  const sentAfter: number[] = [];
  for (const ms of [0, 20, 20, 20]) {
    await clock.advance(ms);
    sentAfter.push(batches.length);
  }
  expect(sentAfter).toEqual([2, 3, 4, 5]);
  stop.abort();
  await drained;
});
