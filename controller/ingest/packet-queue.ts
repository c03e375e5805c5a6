import type { Packet } from '../history/write/packet.ts';

export interface QueueLimits {
  /** Of all packets that are not done, taken or not. */
  readonly packets: number;
  readonly bytes: number;
  /** Of one device: whoever sends without measure takes only its own share. */
  readonly devicePackets: number;
  readonly deviceBytes: number;
  /** Of what is taken at once; one packet is always taken, however long it is. */
  readonly batchPackets: number;
  readonly batchBytes: number;
}

/** What waits for its commit: bounded as a whole and per device, first come, first served. One consumer. */
export interface PacketQueue {
  /** Packets that are not done, and their bytes. */
  readonly size: number;
  readonly bytes: number;
  /** False when there is no room, for anybody or for this device: the packet was not taken. */
  push(packet: Packet): boolean;
  /** Takes the oldest packets out, at most one batch; they count until they are done. */
  take(): Packet[];
  /** Lets go of packets that were taken. */
  done(packets: readonly Packet[]): void;
  /** Resolves when a packet, or a whole batch, can be taken, or when `signal` aborts. */
  waitFor(what: 'packet' | 'batch', signal: AbortSignal): Promise<void>;
}

interface Load {
  packets: number;
  bytes: number;
}

export function createPacketQueue(limits: QueueLimits): PacketQueue {
  const all = createLoads(limits);
  const waiting: Packet[] = [];
  let waitingBytes = 0;
  let awaited = { packets: Number.POSITIVE_INFINITY, resolve: () => {} };
  const isThere = (packets: number): boolean =>
    waiting.length >= packets || (packets > 1 && waitingBytes >= limits.batchBytes);

  return {
    get size() {
      return all.total.packets;
    },
    get bytes() {
      return all.total.bytes;
    },
    push: (packet) => {
      if (!all.add(packet)) return false;
      waiting.push(packet);
      waitingBytes += packet.bytes.byteLength;
      if (isThere(awaited.packets)) awaited.resolve();
      return true;
    },
    take: () => {
      const batch = waiting.splice(0, batchLength(waiting, limits));
      for (const { bytes } of batch) waitingBytes -= bytes.byteLength;
      return batch;
    },
    done: all.remove,
    waitFor: async (what, signal) => {
      // A wait that nobody awaits any more lets go of its signal, which outlives it by far.
      awaited.resolve();
      const packets = what === 'packet' ? 1 : limits.batchPackets;
      if (isThere(packets) || signal.aborted) return;
      const { promise, resolve } = Promise.withResolvers<void>();
      awaited = { packets, resolve };
      const onAbort = () => resolve();
      signal.addEventListener('abort', onAbort, { once: true });
      await promise;
      signal.removeEventListener('abort', onAbort);
    },
  };
}

/** How many of the oldest packets make one batch. */
function batchLength(waiting: readonly Packet[], { batchPackets, batchBytes }: QueueLimits): number {
  let bytes = 0;
  for (const [index, packet] of waiting.entries()) {
    bytes += packet.bytes.byteLength;
    if (index > 0 && (index >= batchPackets || bytes > batchBytes)) return index;
  }
  return waiting.length;
}

/** Counts what is held, of all and of each device. */
function createLoads(limits: QueueLimits) {
  const total: Load = { packets: 0, bytes: 0 };
  const byDevice = new Map<string, Load>();
  return {
    total,
    add: ({ device, bytes: { byteLength } }: Packet): boolean => {
      const own = byDevice.get(device) ?? { packets: 0, bytes: 0 };
      if (total.packets >= limits.packets || total.bytes + byteLength > limits.bytes) return false;
      if (own.packets >= limits.devicePackets || own.bytes + byteLength > limits.deviceBytes) return false;
      byDevice.set(device, own);
      for (const load of [total, own]) {
        load.packets += 1;
        load.bytes += byteLength;
      }
      return true;
    },
    remove: (packets: readonly Packet[]): void => {
      for (const { device, bytes } of packets) {
        const own = byDevice.get(device);
        for (const load of own === undefined ? [total] : [total, own]) {
          load.packets -= 1;
          load.bytes -= bytes.byteLength;
        }
        if (own?.packets === 0) byDevice.delete(device);
      }
    },
  };
}
