import type { EventEnvelope } from '../../../shared/protocol/event.ts';
import { decodePayload } from '../../../shared/protocol/messages.ts';
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
  if (!message.ok) return refuse(device, message, rejects);
  const windows = Array.isArray(message.payload) ? message.payload : [message.payload];
  return windows.flatMap((window) => readWindow(device, window, JSON.stringify(window.body), rejects));
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

/** `{` */
const BRACE = 0x7b;
const INTEGER = '(0|[1-9]\\d{0,15})';
const NUMBER = '((?:0|[1-9]\\d{0,15})(?:\\.\\d{1,20})?)';
/** What stands before the body of a single window as agents write it. */
const HEAD = new RegExp(
  `^\\{"v":1,"device":"([a-z0-9-]+)","bootId":"([0-9a-f-]+)","seq":${INTEGER},"ts":${NUMBER},"monoMs":${NUMBER},"clock":"(synced|unsynced)","body":`,
);
const parseEnvelope = parserOf(WireWindowEnvelopeSchema);
const utf8 = new TextDecoder('utf-8', { fatal: true });

/**
 * Reads a single window whose envelope looks as agents write it, without parsing and writing the body's text
 * twice: that halves the work. What looks otherwise, or does not fit, is left to the general way.
 */
function readUsual(bytes: Uint8Array): { envelope: WireWindowEnvelope; body: string } | undefined {
  if (bytes[0] !== BRACE || bytes.byteLength > MAX_MESSAGE_BYTES) return undefined;
  try {
    const text = utf8.decode(bytes);
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
