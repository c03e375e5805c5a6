import type { CommandResult } from '../../shared/protocol/command.ts';
import { type Decoded, decodeMessage } from '../../shared/protocol/messages.ts';
import type { Want } from '../../shared/protocol/release.ts';
import type { Reported } from '../../shared/protocol/reported.ts';
import type { DeviceStatus } from '../../shared/protocol/status.ts';
import { MAX_MESSAGE_BYTES, parseTopic, type TopicKind } from '../../shared/protocol/topics.ts';
import type { Packet } from '../history/write/packet.ts';
import type { Rejects } from './rejects.ts';

export interface ReceiverDeps {
  readonly rejects: Rejects;
  /** Whether the device is known, or may become so. */
  readonly admit: (device: string) => boolean;
  /** Takes a message with records as it came: what is in it, the history reads, away from this thread. */
  readonly onPacket: (packet: Packet) => void;
  readonly onStatus: (device: string, status: DeviceStatus) => void;
  readonly onReported: (device: string, reported: Reported) => void;
  readonly onCommandResult: (device: string, id: string, result: CommandResult) => void;
  readonly onWant: (device: string, want: Want) => void;
  /** A handler threw: a fault of ours, which must not end the connection. */
  readonly onFault: (error: unknown) => void;
}

type Message<K extends TopicKind> = Extract<Decoded, { ok: true; kind: K }>;

/** Makes the function that every message goes through: it checks, counts and hands on, and never throws. */
export function createReceiver(deps: ReceiverDeps): (topic: string, bytes: Uint8Array) => void {
  return (topic, bytes) => {
    try {
      receive(deps, topic, bytes);
    } catch (error) {
      deps.onFault(error);
    }
  };
}

function receive(deps: ReceiverDeps, topic: string, bytes: Uint8Array): void {
  const { admit, rejects } = deps;
  if (bytes.byteLength > MAX_MESSAGE_BYTES) {
    rejects.count('too-large', `${bytes.byteLength} bytes on ${topic}`);
    return;
  }
  const parsed = parseTopic(topic);
  if (parsed === undefined) {
    rejects.count('unknown-topic', topic.slice(0, 200));
  } else if ('device' in parsed.parameters && !admit(parsed.parameters.device)) {
    rejects.count('too-many-devices', parsed.parameters.device);
  } else if (parsed.kind === 'telemetry' || parsed.kind === 'event') {
    // A copy: what came is a part of a larger read of the socket, which would be kept as a whole.
    deps.onPacket({ device: parsed.parameters.device, kind: parsed.kind, bytes: Buffer.from(bytes) });
  } else {
    handle(deps, topic, bytes);
  }
}

function handle(deps: ReceiverDeps, topic: string, bytes: Uint8Array): void {
  const message = decodeMessage(topic, bytes);
  if (!message.ok) {
    deps.rejects.count(message.reason, message.detail);
    return;
  }
  switch (message.kind) {
    case 'status':
      deps.onStatus(message.parameters.device, message.payload);
      break;
    case 'reported':
      deps.onReported(message.parameters.device, message.payload);
      break;
    case 'commandResult':
      takeResult(deps, message);
      break;
    case 'want':
      deps.onWant(message.parameters.device, message.payload);
      break;
    default:
      // Nobody but a controller sends these, and it does not listen to them.
      deps.rejects.count('unknown-topic', message.kind);
  }
}

function takeResult({ onCommandResult }: ReceiverDeps, message: Message<'commandResult'>): void {
  onCommandResult(message.parameters.device, message.parameters.id, message.payload);
}
