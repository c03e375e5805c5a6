import { expect, test } from 'vitest';
import type { CommitResult, Packet } from '../../../controller/history/write/packet.ts';
import { createIngest, type IngestDeps } from '../../../controller/ingest/ingest.ts';
import { createRejects } from '../../../controller/ingest/rejects.ts';
import { AppError } from '../../../shared/errors.ts';
import { manualClock } from '../../support/clock.ts';
import { silentLog } from '../../support/controller.ts';

const NOTHING: CommitResult = {
  ...{ windows: 0, events: 0, duplicates: 0 },
  ...{ acks: [], rejects: [], newEvents: [], newest: [] },
};

/** What a history answers that stores everything: every packet is a window whose number is its first byte. */
function storing(packets: readonly Packet[]): CommitResult {
  const byDevice = Map.groupBy(packets, ({ device }) => device);
  const acks = [...byDevice].map(([device, all]): CommitResult['acks'][number] => ({
    device,
    ack: { bootId: '0000aaaa', ranges: all.map(({ bytes: [seq = 0] }) => [seq, seq]) },
  }));
  return { ...NOTHING, windows: packets.length, acks };
}

function ingestWith(
  commit: (packets: readonly Packet[]) => Promise<CommitResult>,
  change: Partial<IngestDeps> = {},
) {
  const clock = manualClock();
  const rejects = createRejects({ clock, log: silentLog });
  const acked: string[] = [];
  const ingest = createIngest({
    ...{ clock, random: () => 0.5, log: silentLog, rejects },
    commit,
    onSeen: () => undefined,
    acknowledge: (device, ack) => acked.push(...ack.ranges.map(([seq]) => `${device} ${seq}`)),
    ...change,
  });
  const push = (device: string, seq: number) =>
    ingest.push({ device, kind: 'telemetry', bytes: Uint8Array.of(seq) });
  return { clock, rejects, acked, ingest, push };
}

test('what is pushed is committed together and acknowledged after', async () => {
  const commits: number[] = [];
  const { clock, ingest, acked, push } = ingestWith(async (packets) => {
    commits.push(packets.length);
    expect(acked).toEqual([]);
    return storing(packets);
  });
  await using _running = ingest;
  ingest.start();
  for (const seq of [1, 2, 3]) push('a', seq);
  await clock.advance(100);
  expect(commits).toEqual([3]);
  expect(acked).toEqual(['a 1', 'a 2', 'a 3']);
  expect(ingest.state()).toEqual({
    windows: 3,
    events: 0,
    duplicates: 0,
    pending: 0,
    pendingBytes: 0,
    stalled: undefined,
  });
});

test('a full disk is shown, nothing is acknowledged, and all is stored once there is room', async () => {
  let isFull = true;
  const { clock, ingest, acked, push } = ingestWith(async (packets) => {
    if (isFull) throw new AppError('system', 'history.db: the disk is full');
    return storing(packets);
  });
  await using _running = ingest;
  ingest.start();
  for (let seq = 1; seq <= 5; seq += 1) {
    push('a', seq);
    await clock.advance(1_000);
  }
  expect(ingest.state()).toMatchObject({ pending: 5, windows: 0, stalled: 'history.db: the disk is full' });
  expect(acked).toEqual([]);
  isFull = false;
  await clock.advance(60_000);
  expect(ingest.state()).toMatchObject({ pending: 0, windows: 5, stalled: undefined });
  expect(acked).toHaveLength(5);
});

test('the next batch goes on its way while one is being committed, and not more than one', async () => {
  const underWay: (() => void)[] = [];
  const { clock, ingest, push } = ingestWith(async (packets) => {
    const { promise, resolve } = Promise.withResolvers<void>();
    underWay.push(resolve);
    await promise;
    return storing(packets);
  });
  ingest.start();
  for (let seq = 1; seq <= 4; seq += 1) {
    push('a', seq);
    await clock.advance(100);
  }
  expect(underWay).toHaveLength(2);
  for (let each = 0; each < 3; each += 1) {
    underWay[each]?.();
    await clock.advance(100);
  }
  // Those that waited went together.
  expect(underWay).toHaveLength(3);
  expect(ingest.state()).toMatchObject({ windows: 4, pending: 0 });
  await ingest[Symbol.asyncDispose]();
});

test('a device that is new is noted before it is told that its records are safe; else they are not', async () => {
  let isFull = true;
  const seen: string[] = [];
  const { clock, ingest, acked, push } = ingestWith(async (packets) => storing(packets), {
    onSeen: (devices) => {
      if (isFull) throw new AppError('system', 'fleet.db: the disk is full');
      seen.push(...devices);
    },
  });
  await using _running = ingest;
  ingest.start();
  push('a', 1);
  await clock.advance(10_000);
  expect([acked, ingest.state().stalled]).toEqual([[], 'fleet.db: the disk is full']);
  isFull = false;
  await clock.advance(30_000);
  expect([seen, acked]).toEqual([['a'], ['a 1']]);
});

test('packets beyond the limit are dropped and counted, for their senders to repeat', async () => {
  const limits = {
    packets: 5,
    bytes: 100,
    devicePackets: 3,
    deviceBytes: 50,
    batchPackets: 2,
    batchBytes: 50,
  };
  const { ingest, rejects, acked, push } = ingestWith(async (packets) => storing(packets), { limits });
  for (let seq = 1; seq <= 4; seq += 1) push('flood', seq);
  for (let seq = 1; seq <= 2; seq += 1) push('good', seq);
  expect(rejects.counts()).toEqual({ overload: 1 });
  await ingest[Symbol.asyncDispose]();
  expect(acked).toEqual(['flood 1', 'flood 2', 'flood 3', 'good 1', 'good 2']);
});

test('what the history refuses is counted by its reason, and what listens cannot hold up a commit', async () => {
  const rejects = [
    { reason: 'not-of-schema', detail: 'a' },
    { reason: 'not-storable', detail: 'b' },
    { reason: 'not-of-schema', detail: 'c' },
  ] as const;
  const told: number[] = [];
  const {
    clock,
    ingest,
    rejects: counted,
    acked,
    push,
  } = ingestWith(async (packets) => ({ ...storing(packets), rejects }), {
    onCommitted: ({ windows }) => {
      told.push(windows);
      throw new Error('a fault of the listener');
    },
  });
  await using _running = ingest;
  ingest.start();
  push('a', 1);
  await clock.advance(100);
  expect(counted.counts()).toEqual({ 'not-of-schema': 2, 'not-storable': 1 });
  expect([told, acked]).toEqual([[1], ['a 1']]);
});

test('the end commits what waits, once; what fails then is left to its senders', async () => {
  let tries = 0;
  const { ingest, acked, push } = ingestWith(async () => {
    tries += 1;
    throw new AppError('system', 'the disk is full');
  });
  push('a', 1);
  await ingest[Symbol.asyncDispose]();
  expect([tries, acked]).toEqual([1, []]);
});
