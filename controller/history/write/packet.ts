import type { Ack } from '../../../shared/protocol/event.ts';
import type { RejectReason } from '../../../shared/protocol/messages.ts';
import type { EventRow } from '../../api/schemas.ts';

/** One message of a device as it came from the broker: not read yet. */
export interface Packet {
  /** Of its topic. */
  readonly device: string;
  readonly kind: 'telemetry' | 'event';
  readonly bytes: Uint8Array;
}

/** What a device is told: exactly these records are committed. */
export interface DeviceAck {
  readonly device: string;
  readonly ack: Ack;
}

/** A message or record that the history does not take. */
export interface RecordReject {
  readonly reason: RejectReason | 'not-storable';
  readonly detail: string;
  /** How many it stands for, where it is not one. */
  readonly records?: number;
}

export interface CommitResult {
  /** Records that are new in the history. */
  readonly windows: number;
  readonly events: number;
  /** Records that were in the history before. */
  readonly duplicates: number;
  /** For every device and boot that sent a record which is in the history now, new or not. */
  readonly acks: readonly DeviceAck[];
  readonly rejects: readonly RecordReject[];
  /** The events that are new, in the order in which they came. */
  readonly newEvents: readonly EventRow[];
  /** Per device with a new window: the end of the newest of them, milliseconds since the epoch. */
  readonly newest: readonly { readonly device: string; readonly ts: number }[];
}

/** Something that the controller itself found. */
export interface Alarm {
  readonly device: string;
  readonly ts: number;
  readonly what: string;
  readonly reason: string;
}
