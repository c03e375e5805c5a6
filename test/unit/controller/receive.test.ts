import { expect, test } from 'vitest';
import type { Packet } from '../../../controller/history/write/packet.ts';
import { createReceiver } from '../../../controller/ingest/receive.ts';
import { createRejects } from '../../../controller/ingest/rejects.ts';
import { manualClock } from '../../support/clock.ts';
import { silentLog } from '../../support/controller.ts';

function receiverWith(change: Partial<Parameters<typeof createReceiver>[0]> = {}) {
  const rejects = createRejects({ clock: manualClock(), log: silentLog });
  const packets: Packet[] = [];
  const calls: string[] = [];
  const receive = createReceiver({
    rejects,
    admit: () => true,
    onPacket: (packet) => packets.push(packet),
    onStatus: (device) => calls.push(`status ${device}`),
    onReported: (device) => calls.push(`reported ${device}`),
    onCommandResult: (device, id) => calls.push(`result ${device} ${id}`),
    onWant: (device, { sha256, chunks }) =>
      calls.push(`want ${device} ${sha256.slice(0, 4)} ${chunks.join()}`),
    onFault: (error) => calls.push(String(error)),
    ...change,
  });
  return { receive, rejects, packets, calls };
}

test('records are handed on as they came, in bytes of their own, whatever is in them', () => {
  const { receive, packets, rejects } = receiverWith();
  const bytes = Buffer.from('x not json x');
  receive('ofa/1/lab/d/a/t', bytes.subarray(2, 10));
  receive('ofa/1/lab/d/b/event', bytes.subarray(2, 10));
  bytes.fill(0);
  expect(packets.map(({ device, kind, bytes: own }) => [device, kind, Buffer.from(own).toString()])).toEqual([
    ['a', 'telemetry', 'not json'],
    ['b', 'event', 'not json'],
  ]);
  expect(rejects.counts()).toEqual({});
});

test('what is too long, of no topic of ours, or of one device too many is dropped before it is read', () => {
  const { receive, packets, rejects } = receiverWith({ admit: (device) => device === 'known' });
  receive('ofa/1/lab/d/known/t', new Uint8Array(128 * 1024 + 1));
  receive('ofa/1/lab/d/known/other', new Uint8Array(1));
  receive('ofa/1/lab/d/NOT-AN-ID/t', new Uint8Array(1));
  receive('ofa/1/lab/d/invented/t', new Uint8Array(1));
  receive('ofa/1/lab/d/known/t/ack', Buffer.from('{"bootId":"0000aaaa-0001","ranges":[[1,2]]}'));
  expect(rejects.counts()).toEqual({ 'too-large': 1, 'unknown-topic': 3, 'too-many-devices': 1 });
  expect(packets).toEqual([]);
});

test('what is not of records is read here, and a handler that throws ends nothing', () => {
  const { receive, calls, rejects } = receiverWith({
    onStatus: () => {
      throw new Error('a fault of ours');
    },
  });
  const status = { state: 'online', session: 's', bootId: '0000aaaa-0001', ts: 1 };
  receive('ofa/1/lab/d/a/status', Buffer.from(JSON.stringify(status)));
  receive('ofa/1/lab/d/a/status', Buffer.from('{'));
  const result = { v: 1, state: 'done', ts: 5 };
  receive('ofa/1/lab/d/a/cmd/c1/result', Buffer.from(JSON.stringify(result)));
  const want = { v: 1, sha256: 'ab'.repeat(32), chunks: [[0, 3]] };
  receive('ofa/1/lab/d/a/want', Buffer.from(JSON.stringify(want)));
  expect(calls).toEqual(['Error: a fault of ours', 'result a c1', 'want a abab 0,3']);
  expect(rejects.counts()).toEqual({ 'not-json': 1 });
});
