import { gunzipSync } from 'node:zlib';
import type { Static, TSchema } from 'typebox';
import { isSystemError } from '../errors.ts';
import { type Parser, parserOf } from '../schema.ts';
import { CommandResultSchema, CommandSchema } from './command.ts';
import { DesiredSchema, DeviceDesiredSchema } from './desired.ts';
import { AckSchema, EventEnvelopeSchema } from './event.ts';
import { ReportedSchema } from './reported.ts';
import { ControllerStatusSchema, DeviceStatusSchema } from './status.ts';
import {
  MAX_MESSAGE_BYTES,
  type ParsedTopic,
  parseTopic,
  type TopicKind,
  type TopicParameters,
} from './topics.ts';
import { TelemetrySchema } from './window.ts';

/** The schema, retention and direction of every topic: what the AsyncAPI document is made from. */
export const MESSAGES = {
  controllerStatus: { schema: ControllerStatusSchema, retained: true, from: 'controller' },
  fleetDesired: { schema: DesiredSchema, retained: true, from: 'controller' },
  groupDesired: { schema: DesiredSchema, retained: true, from: 'controller' },
  status: { schema: DeviceStatusSchema, retained: true, from: 'agent' },
  desired: { schema: DeviceDesiredSchema, retained: true, from: 'controller' },
  reported: { schema: ReportedSchema, retained: true, from: 'agent' },
  telemetry: { schema: TelemetrySchema, retained: false, from: 'agent' },
  ack: { schema: AckSchema, retained: false, from: 'controller' },
  event: { schema: EventEnvelopeSchema, retained: false, from: 'agent' },
  command: { schema: CommandSchema, retained: false, from: 'controller' },
  commandResult: { schema: CommandResultSchema, retained: false, from: 'agent' },
} as const satisfies Record<TopicKind, { schema: TSchema; retained: boolean; from: 'controller' | 'agent' }>;

export type Payload<K extends TopicKind> = Static<(typeof MESSAGES)[K]['schema']>;

/** Why a message was dropped; the keys of the counters that show it. */
export type RejectReason = 'unknown-topic' | 'too-large' | 'not-json' | 'wrong-version' | 'not-of-schema';

export type Decoded =
  | {
      [K in TopicKind]: { ok: true; kind: K; parameters: TopicParameters<K>; payload: Payload<K> };
    }[TopicKind]
  | { ok: false; reason: RejectReason; detail: string };

/** Unpacked size of a compressed `t`, at most. */
const MAX_UNPACKED_BYTES = 1024 * 1024;
/** No message nests nearly as deep; one that nests by the thousand can be read but not written again. */
const MAX_LEVELS = 32;

const PARSERS = Object.fromEntries(
  Object.entries(MESSAGES).map(([kind, { schema }]) => [kind, parserOf(schema)]),
) as Record<TopicKind, Parser<unknown>>;

function isGzip(bytes: Uint8Array): boolean {
  return bytes[0] === 0x1f && bytes[1] === 0x8b;
}

function unpack(kind: TopicKind, bytes: Uint8Array): string {
  const plain =
    kind === 'telemetry' && isGzip(bytes)
      ? gunzipSync(bytes, { maxOutputLength: MAX_UNPACKED_BYTES })
      : bytes;
  return new TextDecoder('utf-8', { fatal: true }).decode(plain);
}

/** Whether a payload states a major version other than ours. */
function statesOtherVersion(value: unknown): boolean {
  const first: unknown = Array.isArray(value) ? value[0] : value;
  return typeof first === 'object' && first !== null && 'v' in first && first.v !== 1;
}

function nestsDeeper(value: unknown, levels: number): boolean {
  if (typeof value !== 'object' || value === null) return false;
  return levels === 0 || Object.values(value).some((each) => nestsDeeper(each, levels - 1));
}

function refuse(reason: RejectReason, detail: string): Decoded {
  return { ok: false, reason, detail };
}

function decodePayload(topic: ParsedTopic, bytes: Uint8Array): Decoded {
  let value: unknown;
  try {
    value = JSON.parse(unpack(topic.kind, bytes));
  } catch (error) {
    const tooLarge = isSystemError(error, 'ERR_BUFFER_TOO_LARGE');
    return refuse(
      tooLarge ? 'too-large' : 'not-json',
      error instanceof Error ? error.message : String(error),
    );
  }
  if (statesOtherVersion(value)) return refuse('wrong-version', `${topic.kind} of another protocol version`);
  if (nestsDeeper(value, MAX_LEVELS)) {
    return refuse('not-of-schema', `${topic.kind}: nests deeper than ${MAX_LEVELS} levels`);
  }
  try {
    return { ok: true, ...topic, payload: PARSERS[topic.kind](value, topic.kind) } as Decoded;
  } catch (error) {
    return refuse('not-of-schema', error instanceof Error ? error.message : String(error));
  }
}

/**
 * Reads one message of the protocol. It never throws: what does not fit comes back with the reason that
 * is counted, and the text that is logged.
 */
export function decodeMessage(topic: string, bytes: Uint8Array): Decoded {
  if (bytes.byteLength > MAX_MESSAGE_BYTES)
    return refuse('too-large', `${bytes.byteLength} bytes on ${topic}`);
  const parsed = parseTopic(topic);
  return parsed === undefined ? refuse('unknown-topic', topic.slice(0, 200)) : decodePayload(parsed, bytes);
}

/** Writes the payload of a topic of this kind; the type parameter is what keeps sender and schema together. */
export function encodeMessage<K extends TopicKind>(_kind: K, payload: Payload<K>): string {
  return JSON.stringify(payload);
}
