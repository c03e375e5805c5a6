import { ID_PATTERN } from './ids.ts';
import { MESSAGES } from './messages.ts';
import { CHUNK_BYTES, SHA256_PATTERN } from './release.ts';
import { MAX_MESSAGE_BYTES, PROTOCOL_VERSION, TOPIC_TEMPLATES, type TopicKind } from './topics.ts';

/** What each topic is for, in one line. */
const SUMMARIES = {
  controllerStatus: 'Presence of the controller, and its will. Agents keep buffering while it is offline.',
  fleetDesired: 'What is wanted of every device of the fleet.',
  groupDesired: 'What is wanted of the devices of a group.',
  status: 'Presence of a device, and its will; a late will of an older session is known by its session.',
  desired: 'What is wanted of one device, and which groups it is in. Only newer versions count.',
  reported:
    'What the agent has applied, with the desired versions that it answers, and what it refused and why.',
  telemetry:
    'Telemetry: one window or a batch, as JSON or as gzip of it. Keys are short; the description of each says its long name.',
  ack: 'Exactly these records are committed to the history; only now may the outbox forget them.',
  event: 'What happened: a switch, a violation, a gap and so on; acknowledged as windows are.',
  command: 'A command; not carried out after it expires, and at most once per id.',
  commandResult: 'The answer to a command, repeated unchanged when the same id is asked again.',
  keyring: 'Whose signatures count, signed by its roots; read only after a signature has been found good.',
  want: 'Chunks of a blob that a device is missing.',
  chunk: 'The bytes of one chunk of a blob, for every device that listens.',
} as const satisfies Record<TopicKind, string>;

const PARAMETERS: Readonly<Record<string, string>> = {
  fleet: `Id of the fleet (${ID_PATTERN}).`,
  group: `Id of the group (${ID_PATTERN}).`,
  device: `Id of the device (${ID_PATTERN}).`,
  id: `Id of the command (${ID_PATTERN}), chosen by the controller.`,
  sha256: `SHA-256 of the blob (${SHA256_PATTERN}).`,
  n: `Number of the chunk, from 0; each but the last has ${CHUNK_BYTES} bytes.`,
};

type Json = Readonly<Record<string, unknown>>;

/** The AsyncAPI 3 document of the protocol as plain data, from the point of view of an agent. */
export function asyncApiDocument(): Json {
  return {
    asyncapi: '3.0.0',
    info: {
      title: 'ofa-fleet on MQTT',
      version: `${PROTOCOL_VERSION}.0.0`,
      description:
        'What agents and the controller say to one another, from the point of view of an agent. ' +
        `MQTT 3.1.1, QoS 1; a message is at most ${MAX_MESSAGE_BYTES} bytes; unknown keys are ignored.`,
      license: { name: 'Apache-2.0' },
    },
    defaultContentType: 'application/json',
    channels: forEachKind(channelOf),
    operations: forEachKind(operationOf, operationName),
    components: { messages: forEachKind(messageOf) },
  };
}

function forEachKind(
  make: (kind: TopicKind) => Json,
  name: (kind: TopicKind) => string = (kind) => kind,
): Json {
  const kinds = Object.keys(TOPIC_TEMPLATES) as TopicKind[];
  return Object.fromEntries(kinds.map((kind) => [name(kind), make(kind)]));
}

function actionOf(kind: TopicKind): 'send' | 'receive' {
  return MESSAGES[kind].from === 'agent' ? 'send' : 'receive';
}

function operationName(kind: TopicKind): string {
  return `${actionOf(kind)}${kind.charAt(0).toUpperCase()}${kind.slice(1)}`;
}

function channelOf(kind: TopicKind): Json {
  const address = TOPIC_TEMPLATES[kind];
  const names = Array.from(address.matchAll(/\{(\w+)\}/g), (match) => match[1] ?? '');
  return {
    address,
    messages: { [kind]: { $ref: `#/components/messages/${kind}` } },
    parameters: Object.fromEntries(names.map((name) => [name, { description: PARAMETERS[name] ?? '' }])),
  };
}

function operationOf(kind: TopicKind): Json {
  return {
    action: actionOf(kind),
    channel: { $ref: `#/channels/${kind}` },
    messages: [{ $ref: `#/channels/${kind}/messages/${kind}` }],
    bindings: { mqtt: { qos: 1, retain: MESSAGES[kind].retained, bindingVersion: '0.2.0' } },
  };
}

function messageOf(kind: TopicKind): Json {
  // A round trip by text: a document must not share objects with the schemas that parsers are made from.
  const payload: unknown = JSON.parse(JSON.stringify(MESSAGES[kind].schema));
  const contentType = kind === 'chunk' ? { contentType: 'application/octet-stream' } : {};
  return { name: kind, summary: SUMMARIES[kind], ...contentType, payload };
}
