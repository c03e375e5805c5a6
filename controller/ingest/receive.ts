import { describeError } from '../../shared/errors.ts';
import type { CommandResult } from '../../shared/protocol/command.ts';
import { type Decoded, decodeMessage } from '../../shared/protocol/messages.ts';
import type { Reported } from '../../shared/protocol/reported.ts';
import type { DeviceStatus } from '../../shared/protocol/status.ts';
import type { TopicKind } from '../../shared/protocol/topics.ts';
import type { WindowEnvelope } from '../../shared/protocol/window.ts';
import { Sketch } from '../../shared/sketch.ts';
import type { TelemetryRecord } from '../history/history.ts';
import type { Rejects } from './rejects.ts';

export interface ReceiverDeps {
  readonly rejects: Rejects;
  /** Whether the device is known, or may become so. */
  readonly admit: (device: string) => boolean;
  readonly onRecord: (record: TelemetryRecord) => void;
  readonly onStatus: (device: string, status: DeviceStatus) => void;
  readonly onReported: (device: string, reported: Reported) => void;
  readonly onCommandResult: (device: string, id: string, result: CommandResult) => void;
  /** A handler threw: a fault of ours, which must not end the connection. */
  readonly onFault: (error: unknown) => void;
}

type Message<K extends TopicKind> = Extract<Decoded, { ok: true; kind: K }>;
type Handlers = { [K in TopicKind]: (message: Message<K>) => void };

/** Makes the function that every message goes through: it checks, counts and hands on, and never throws. */
export function createReceiver(deps: ReceiverDeps): (topic: string, bytes: Uint8Array) => void {
  const handlers = handlersOf(deps);
  return (topic, bytes) => {
    try {
      const message = decodeMessage(topic, bytes);
      if (!message.ok) deps.rejects.count(message.reason, message.detail);
      else if (isAdmitted(message, deps)) (handlers[message.kind] as (message: Decoded) => void)(message);
    } catch (error) {
      deps.onFault(error);
    }
  };
}

function isAdmitted(message: Message<TopicKind>, { admit, rejects }: ReceiverDeps): boolean {
  if (!('device' in message.parameters) || admit(message.parameters.device)) return true;
  rejects.count('too-many-devices', message.parameters.device);
  return false;
}

function handlersOf(deps: ReceiverDeps): Handlers {
  // Nobody but a controller sends these, and it does not listen to them.
  const notForUs = ({ kind }: { kind: TopicKind }) => deps.rejects.count('unknown-topic', kind);
  return {
    telemetry: ({ parameters, payload }) => {
      for (const envelope of Array.isArray(payload) ? payload : [payload]) {
        const wrong = faultOf(parameters.device, envelope.device) ?? faultOfSketches(envelope);
        if (wrong === undefined) deps.onRecord({ kind: 'window', envelope });
        else deps.rejects.count('not-of-schema', wrong);
      }
    },
    event: ({ parameters, payload }) => {
      const wrong = faultOf(parameters.device, payload.device);
      if (wrong === undefined) deps.onRecord({ kind: 'event', envelope: payload });
      else deps.rejects.count('not-of-schema', wrong);
    },
    status: ({ parameters, payload }) => deps.onStatus(parameters.device, payload),
    reported: ({ parameters, payload }) => deps.onReported(parameters.device, payload),
    commandResult: ({ parameters, payload }) =>
      deps.onCommandResult(parameters.device, parameters.id, payload),
    controllerStatus: notForUs,
    fleetDesired: notForUs,
    groupDesired: notForUs,
    desired: notForUs,
    ack: notForUs,
    command: notForUs,
  };
}

/** A device speaks for itself only. */
function faultOf(topicDevice: string, device: string): string | undefined {
  return topicDevice === device ? undefined : `${topicDevice} sent a record of ${device}`;
}

function faultOfSketches({ device, seq, body }: WindowEnvelope): string | undefined {
  try {
    for (const { latencySketch } of body.points) Sketch.decode(latencySketch);
    return undefined;
  } catch (error) {
    return `${device} window ${seq}: ${describeError(error)}`;
  }
}
