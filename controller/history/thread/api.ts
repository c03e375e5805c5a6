import type { ReadCore } from '../read/core.ts';
import type { CheckpointResult } from '../rollup/checkpoint.ts';
import type { GroupMembers } from '../rollup/groups.ts';
import type { RetainResult, Retention } from '../rollup/retention.ts';
import type { RollUpResult } from '../rollup/roll-up.ts';
import type { Alarm, CommitResult, Packet } from '../write/packet.ts';

/** Many packets in one buffer, which is handed over to the thread instead of being copied again. */
export interface PackedPackets {
  readonly devices: readonly string[];
  readonly kinds: readonly Packet['kind'][];
  /** Where each packet ends in `bytes`. */
  readonly ends: Uint32Array<ArrayBuffer>;
  readonly bytes: Uint8Array<ArrayBuffer>;
}

/** What the threads are opened with. */
export interface ThreadData {
  readonly stateDir: string;
  readonly maxBytes: number | undefined;
}

export interface WriterApi {
  readonly commit: (request: {
    readonly packets: PackedPackets;
    readonly receivedTs: number;
  }) => Promise<CommitResult>;
  readonly raise: (alarm: Alarm) => Promise<void>;
  /** Long jobs, one after the other; commits go between their steps. */
  readonly rollUp: (request: { readonly groups: GroupMembers }) => Promise<RollUpResult>;
  readonly retain: (request: {
    readonly retention: Retention;
    readonly nowTs: number;
  }) => Promise<RetainResult>;
  readonly checkpoint: () => Promise<CheckpointResult>;
}

export interface StoredCounts {
  readonly windows: number;
  readonly events: number;
  /** Size of the database, without its log. */
  readonly bytes: number;
  readonly walBytes: number;
  /** Windows that are not merged into the roll-ups yet. */
  readonly lagRecords: number;
  /** When the oldest of them that did not come in late was, milliseconds since the epoch. */
  readonly lagSinceTs: number | undefined;
  readonly boots: number;
  readonly series: number;
}

export type ReaderApi = ReadCore & { readonly counts: () => StoredCounts };

/** For long work that must not hold up queries: in a thread for one call. */
export interface CareApi {
  /** What is wrong with the history, a line each. */
  readonly problems: (request: { readonly isDeep: boolean }) => string[];
  /** Copies `history.db` to a new file. */
  readonly copy: (request: { readonly path: string }) => Promise<{ windows: number; bytes: number }>;
}

/** Copies the packets into one buffer: the caller keeps its own, to try the same again. */
export function packPackets(packets: readonly Packet[]): PackedPackets {
  const ends = new Uint32Array(packets.length);
  let end = 0;
  for (const [index, { bytes }] of packets.entries()) {
    end += bytes.byteLength;
    ends[index] = end;
  }
  const bytes = new Uint8Array(end);
  for (const [index, packet] of packets.entries()) bytes.set(packet.bytes, ends[index - 1] ?? 0);
  return {
    devices: packets.map(({ device }) => device),
    kinds: packets.map(({ kind }) => kind),
    ends,
    bytes,
  };
}

/** The packets again; they share the buffer. */
export function unpackPackets({ devices, kinds, ends, bytes }: PackedPackets): Packet[] {
  return devices.map((device, index) => ({
    device,
    kind: kinds[index] ?? 'telemetry',
    bytes: bytes.subarray(ends[index - 1] ?? 0, ends[index] ?? 0),
  }));
}
