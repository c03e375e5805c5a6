import { getEventListeners } from 'node:events';
import fc from 'fast-check';
import { expect, test } from 'vitest';
import type { Packet } from '../../../controller/history/write/packet.ts';
import { createPacketQueue, type QueueLimits } from '../../../controller/ingest/packet-queue.ts';

const LIMITS: QueueLimits = {
  packets: 10,
  bytes: 1_000,
  devicePackets: 4,
  deviceBytes: 400,
  batchPackets: 3,
  batchBytes: 300,
};

function packetOf(device: string, length: number): Packet {
  return { device, kind: 'telemetry', bytes: new Uint8Array(length) };
}

test('a wait that was given up holds on to nothing', async () => {
  const queue = createPacketQueue(LIMITS);
  const { signal } = new AbortController();
  for (let round = 0; round < 50; round += 1) {
    void queue.waitFor('batch', signal);
    queue.push(packetOf('a', 1));
    await queue.waitFor('packet', signal);
    queue.done(queue.take());
  }
  await Promise.resolve();
  expect(getEventListeners(signal, 'abort')).toEqual([]);
});

test('a wait ends when a batch is there, by number or by bytes, or when it is told to stop', async () => {
  const queue = createPacketQueue(LIMITS);
  const stopping = new AbortController();
  const three = queue.waitFor('batch', stopping.signal);
  for (let sent = 0; sent < 3; sent += 1) queue.push(packetOf('a', 1));
  await three;
  expect(queue.take()).toHaveLength(3);
  const large = queue.waitFor('batch', stopping.signal);
  for (let sent = 0; sent < 2; sent += 1) queue.push(packetOf('b', 200));
  await large;
  expect(queue.take()).toHaveLength(1);
  queue.take();
  const never = queue.waitFor('batch', stopping.signal);
  stopping.abort();
  await never;
});

test('one device that floods takes its share, and leaves room for the others', () => {
  const queue = createPacketQueue(LIMITS);
  const taken = (device: string, length: number) => queue.push(packetOf(device, length));
  expect(Array.from({ length: 6 }, () => taken('flood', 1))).toEqual([true, true, true, true, false, false]);
  expect([taken('large', 300), taken('large', 101), taken('good', 1)]).toEqual([true, false, true]);
  const first = queue.take();
  // What is taken and not done still counts: its commit may fail.
  expect(taken('flood', 1)).toBe(false);
  queue.done(first);
  expect(taken('flood', 1)).toBe(true);
});

test('packets come out once, in order, in batches within bounds, and what is held is never more than allowed', () => {
  const step = fc.oneof(
    fc.record({ device: fc.constantFrom('a', 'b', 'c'), length: fc.nat(500) }),
    fc.constant('take' as const),
  );
  fc.assert(
    fc.property(fc.array(step, { maxLength: 100 }), (steps) => {
      const queue = createPacketQueue(LIMITS);
      const pushed: Packet[] = [];
      const out: Packet[] = [];
      for (const each of steps) {
        if (each === 'take') {
          const batch = queue.take();
          const bytes = batch.reduce((sum, packet) => sum + packet.bytes.length, 0);
          expect(batch.length).toBeLessThanOrEqual(LIMITS.batchPackets);
          expect(batch.length <= 1 || bytes <= LIMITS.batchBytes).toBe(true);
          out.push(...batch);
          queue.done(batch);
        } else {
          const packet = packetOf(each.device, each.length);
          if (queue.push(packet)) pushed.push(packet);
        }
        expect(queue.size).toBeLessThanOrEqual(LIMITS.packets);
        expect(queue.bytes).toBeLessThanOrEqual(LIMITS.bytes);
      }
      while (queue.size > 0) {
        const batch = queue.take();
        out.push(...batch);
        queue.done(batch);
      }
      expect(out).toEqual(pushed);
      expect(queue.bytes).toBe(0);
    }),
  );
});
