import { describeError } from '../../../shared/errors.ts';
import type { EventEnvelope } from '../../../shared/protocol/event.ts';
import { decodePayload, textOf } from '../../../shared/protocol/messages.ts';
import { MAX_MESSAGE_BYTES } from '../../../shared/protocol/topics.ts';
import {
  checkSketches,
  type WireWindowEnvelope,
  WireWindowEnvelopeSchema,
} from '../../../shared/protocol/window-wire.ts';
import { parserOf } from '../../../shared/schema.ts';
import type { Packet, RecordReject } from './packet.ts';

/** A window that may be stored. */
export interface WindowRecord {
  readonly kind: 'window';
  readonly envelope: WireWindowEnvelope;
  readonly durationMs: number;
  /** The JSON of the envelope's body. */
  readonly body: string;
}

/** Windows of one message, at most, as the schema of the topic has it. */
const MAX_BATCH = 1_000;

/** One record that may be stored. */
export type PacketRecord = WindowRecord | { readonly kind: 'event'; readonly envelope: EventEnvelope };

/** Reads a message; what of it does not fit is told to `rejects`. */
export function readPacket({ device, kind, bytes }: Packet, rejects: RecordReject[]): PacketRecord[] {
  return kind === 'event' ? readEvent(device, bytes, rejects) : readTelemetry(device, bytes, rejects);
}

function readTelemetry(device: string, bytes: Uint8Array, rejects: RecordReject[]): PacketRecord[] {
  const usual = readUsual(bytes);
  if (usual !== undefined) return readWindow(device, usual.envelope, usual.body, rejects);
  const message = decodePayload('telemetry', bytes);
  if (!message.ok) {
    const windows = message.reason === 'not-of-schema' ? batchOf(bytes) : [];
    return windows.length > 0 ? readEach(device, windows, rejects) : refuse(device, message, rejects);
  }
  const windows = Array.isArray(message.payload) ? message.payload : [message.payload];
  return windows.flatMap((window) => readWindow(device, window, JSON.stringify(window.body), rejects));
}

/** Reads a batch that does not fit as a whole: one window that does not must not keep the others out. */
function readEach(device: string, windows: readonly unknown[], rejects: RecordReject[]): PacketRecord[] {
  return windows.flatMap((window) => {
    try {
      const envelope = parseEnvelope(window, 'window');
      return readWindow(device, envelope, JSON.stringify(envelope.body), rejects);
    } catch (error) {
      return refuse(device, { reason: 'not-of-schema', detail: describeError(error) }, rejects);
    }
  });
}

/** The windows of a message, whatever they are; none where it is no batch, or one that is too long. */
function batchOf(bytes: Uint8Array): readonly unknown[] {
  const value: unknown = JSON.parse(textOf('telemetry', bytes));
  return Array.isArray(value) && value.length <= MAX_BATCH ? value : [];
}

function readEvent(device: string, bytes: Uint8Array, rejects: RecordReject[]): PacketRecord[] {
  const message = decodePayload('event', bytes);
  if (!message.ok) return refuse(device, message, rejects);
  const envelope = message.payload;
  return isOf(device, envelope, rejects) ? [{ kind: 'event', envelope }] : [];
}

function refuse(device: string, { reason, detail }: RecordReject, rejects: RecordReject[]): [] {
  rejects.push({ reason, detail: `${device}: ${detail}` });
  return [];
}

function readWindow(
  device: string,
  envelope: WireWindowEnvelope,
  body: string,
  rejects: RecordReject[],
): WindowRecord[] {
  if (!isOf(device, envelope, rejects)) return [];
  const fault = checkSketches(envelope.body);
  if (fault === undefined) return [{ kind: 'window', envelope, durationMs: envelope.body.d, body }];
  rejects.push({ reason: 'not-of-schema', detail: `${device} window ${envelope.seq}: ${fault}` });
  return [];
}

/** A device speaks for itself only. */
function isOf(device: string, envelope: { readonly device: string }, rejects: RecordReject[]): boolean {
  if (envelope.device === device) return true;
  rejects.push({ reason: 'not-of-schema', detail: `${device} sent a record of ${envelope.device}` });
  return false;
}

const INTEGER = '(0|[1-9]\\d{0,15})';
const NUMBER = '((?:0|[1-9]\\d{0,15})(?:\\.\\d{1,20})?)';
/** What stands before the body of a single window as agents write it. */
const HEAD = new RegExp(
  `^\\{"v":1,"device":"([a-z0-9-]+)","bootId":"([0-9a-f-]+)","seq":${INTEGER},"ts":${NUMBER},"monoMs":${NUMBER},"clock":"(synced|unsynced)","body":`,
);
const parseEnvelope = parserOf(WireWindowEnvelopeSchema);

/**
 * Reads a single window whose envelope looks as agents write it, without parsing and writing the body's text
 * twice: that halves the work. What looks otherwise, or does not fit, is left to the general way.
 */
function readUsual(bytes: Uint8Array): { envelope: WireWindowEnvelope; body: string } | undefined {
  if (bytes.byteLength > MAX_MESSAGE_BYTES) return undefined;
  try {
    const text = textOf('telemetry', bytes);
    const head = HEAD.exec(text);
    if (head === null || !text.endsWith('}')) return undefined;
    const [all, device, bootId, seq, ts, monoMs, clock] = head;
    const body = text.slice(all.length, -1);
    const stamps = { seq: Number(seq), ts: Number(ts), monoMs: Number(monoMs), clock };
    const envelope = { v: 1, device, bootId, ...stamps, body: JSON.parse(body) };
    return { envelope: parseEnvelope(envelope, 'window'), body };
  } catch {
    return undefined;
  }
}
