import { gunzipSync, gzipSync } from 'node:zlib';
import Type, { type Static, type TSchema } from 'typebox';
import { isSystemError } from '../errors.ts';
import { type Parser, parserOf } from '../schema.ts';
import { CommandResultSchema, CommandSchema } from './command.ts';
import { DesiredSchema, DeviceDesiredSchema } from './desired.ts';
import { AckSchema, EventEnvelopeSchema } from './event.ts';
import { CHUNK_BYTES, KeyringMessageSchema, WantSchema } from './release.ts';
import { ReportedSchema } from './reported.ts';
import { ControllerStatusSchema, DeviceStatusSchema } from './status.ts';
import { MAX_MESSAGE_BYTES, parseTopic, type TopicKind, type TopicParameters } from './topics.ts';
import { WireTelemetrySchema } from './window-wire.ts';

/** The one payload that is no JSON: bytes of a blob, as they are. */
const ChunkSchema = Type.Unsafe<Uint8Array>({
  type: 'string',
  format: 'binary',
  minLength: 1,
  maxLength: CHUNK_BYTES,
});

/** The schema, retention and direction of every topic: what the AsyncAPI document is made from. */
export const MESSAGES = {
  controllerStatus: { schema: ControllerStatusSchema, retained: true, from: 'controller' },
  fleetDesired: { schema: DesiredSchema, retained: true, from: 'controller' },
  groupDesired: { schema: DesiredSchema, retained: true, from: 'controller' },
  status: { schema: DeviceStatusSchema, retained: true, from: 'agent' },
  desired: { schema: DeviceDesiredSchema, retained: true, from: 'controller' },
  reported: { schema: ReportedSchema, retained: true, from: 'agent' },
  telemetry: { schema: WireTelemetrySchema, retained: false, from: 'agent' },
  ack: { schema: AckSchema, retained: false, from: 'controller' },
  event: { schema: EventEnvelopeSchema, retained: false, from: 'agent' },
  command: { schema: CommandSchema, retained: false, from: 'controller' },
  commandResult: { schema: CommandResultSchema, retained: false, from: 'agent' },
  keyring: { schema: KeyringMessageSchema, retained: true, from: 'controller' },
  want: { schema: WantSchema, retained: false, from: 'agent' },
  chunk: { schema: ChunkSchema, retained: false, from: 'controller' },
} as const satisfies Record<TopicKind, { schema: TSchema; retained: boolean; from: 'controller' | 'agent' }>;

export type Payload<K extends TopicKind> = Static<(typeof MESSAGES)[K]['schema']>;

/** Topics whose payload is JSON. */
export type JsonKind = Exclude<TopicKind, 'chunk'>;

/** Why a message was dropped; the keys of the counters that show it. */
export type RejectReason = 'unknown-topic' | 'too-large' | 'not-json' | 'wrong-version' | 'not-of-schema';

interface Refused {
  readonly ok: false;
  readonly reason: RejectReason;
  readonly detail: string;
}

export type DecodedPayload<K extends TopicKind> =
  | { readonly ok: true; readonly payload: Payload<K> }
  | Refused;

export type Decoded =
  | {
      [K in TopicKind]: { ok: true; kind: K; parameters: TopicParameters<K>; payload: Payload<K> };
    }[TopicKind]
  | Refused;

/** Unpacked size of a compressed `t`, at most. */
const MAX_UNPACKED_BYTES = 1024 * 1024;
/** Most messages are a window or two: Node's own chunks of 16 KiB take longer to get than to fill. */
const UNPACKING = { maxOutputLength: MAX_UNPACKED_BYTES, chunkSize: 4_096 };
/** Shorter telemetry stays as it is. */
const PACK_CHARACTERS = 1_024;
const PACK_LEVEL = 6;
/** No message nests nearly as deep; one that nests by the thousand can be read but not written again. */
const MAX_LEVELS = 32;

const PARSERS = Object.fromEntries(
  Object.entries(MESSAGES).map(([kind, { schema }]) => [kind, parserOf(schema)]),
) as Record<TopicKind, Parser<unknown>>;

/** One for all: it keeps nothing from one message to the next. */
const utf8 = new TextDecoder('utf-8', { fatal: true });

function isGzip(bytes: Uint8Array): boolean {
  return bytes[0] === 0x1f && bytes[1] === 0x8b;
}

/**
 * The text of a message, unpacked where it is packed.
 * @throws TypeError or RangeError of Node when it is not UTF-8, broken, or too long unpacked
 */
export function textOf(kind: TopicKind, bytes: Uint8Array): string {
  const isPacked = kind === 'telemetry' && isGzip(bytes);
  return utf8.decode(isPacked ? gunzipSync(bytes, UNPACKING) : bytes);
}

/** Whether a payload states a major version other than ours. */
function statesOtherVersion(value: unknown): boolean {
  const first: unknown = Array.isArray(value) ? value[0] : value;
  return typeof first === 'object' && first !== null && 'v' in first && first.v !== 1;
}

function nestsDeeper(value: unknown, levels: number): boolean {
  if (typeof value !== 'object' || value === null) return false;
  if (levels === 0) return true;
  const parts: readonly unknown[] = Array.isArray(value) ? value : Object.values(value);
  for (const part of parts) {
    if (nestsDeeper(part, levels - 1)) return true;
  }
  return false;
}

function refuse(reason: RejectReason, detail: string): Refused {
  return { ok: false, reason, detail };
}

/**
 * Reads the payload of a message of this kind. It never throws: what does not fit comes back with the reason
 * that is counted, and the text that is logged.
 */
export function decodePayload<K extends TopicKind>(kind: K, bytes: Uint8Array): DecodedPayload<K> {
  if (bytes.byteLength > MAX_MESSAGE_BYTES)
    return refuse('too-large', `${bytes.byteLength} bytes of ${kind}`);
  if (kind === 'chunk') return chunkOf(bytes) as DecodedPayload<K>;
  let value: unknown;
  try {
    value = JSON.parse(textOf(kind, bytes));
  } catch (error) {
    const tooLarge = isSystemError(error, 'ERR_BUFFER_TOO_LARGE');
    return refuse(
      tooLarge ? 'too-large' : 'not-json',
      error instanceof Error ? error.message : String(error),
    );
  }
  if (statesOtherVersion(value)) return refuse('wrong-version', `${kind} of another protocol version`);
  if (nestsDeeper(value, MAX_LEVELS)) {
    return refuse('not-of-schema', `${kind}: nests deeper than ${MAX_LEVELS} levels`);
  }
  try {
    return { ok: true, payload: PARSERS[kind](value, kind) as Payload<K> };
  } catch (error) {
    return refuse('not-of-schema', error instanceof Error ? error.message : String(error));
  }
}

/** A copy: what came is a part of a larger read of the socket. */
function chunkOf(bytes: Uint8Array): DecodedPayload<'chunk'> {
  if (bytes.byteLength > CHUNK_BYTES) return refuse('too-large', `${bytes.byteLength} bytes of a chunk`);
  if (bytes.byteLength === 0) return refuse('not-of-schema', 'an empty chunk');
  return { ok: true, payload: Uint8Array.from(bytes) };
}

/** As `decodePayload`, of a message of which only the topic is known. */
export function decodeMessage(topic: string, bytes: Uint8Array): Decoded {
  if (bytes.byteLength > MAX_MESSAGE_BYTES)
    return refuse('too-large', `${bytes.byteLength} bytes on ${topic}`);
  const parsed = parseTopic(topic);
  if (parsed === undefined) return refuse('unknown-topic', topic.slice(0, 200));
  const decoded = decodePayload(parsed.kind, bytes);
  return decoded.ok ? ({ ...parsed, ...decoded } as Decoded) : decoded;
}

/** Writes the payload of a topic of this kind; the type parameter is what keeps sender and schema together. */
export function encodeMessage<K extends JsonKind>(_kind: K, payload: Payload<K>): string {
  return JSON.stringify(payload);
}

/**
 * A payload that is text already, as it goes out: telemetry is compressed where it is long and that makes it
 * shorter. @param text what `encodeMessage` would write
 */
export function packText(kind: TopicKind, text: string): string | Uint8Array {
  if (kind !== 'telemetry' || text.length < PACK_CHARACTERS) return text;
  const packed = gzipSync(text, { level: PACK_LEVEL });
  return packed.byteLength < text.length ? packed : text;
}

/** Writes a payload as it goes out. */
export function packMessage<K extends JsonKind>(kind: K, payload: Payload<K>): string | Uint8Array {
  return packText(kind, encodeMessage(kind, payload));
}
