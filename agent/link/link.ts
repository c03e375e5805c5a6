import { type BackoffPolicy, backoffMs, type Random } from '../../shared/backoff.ts';
import type { Clock } from '../../shared/clock.ts';
import { describeError } from '../../shared/errors.ts';
import type { Logger } from '../../shared/log.ts';
import { connectMqtt, type MqttConnection } from '../../shared/mqtt.ts';
import {
  type Decoded,
  decodeMessage,
  encodeMessage,
  type JsonKind,
  type Payload,
  packText,
} from '../../shared/protocol/messages.ts';
import type { DeviceStatus } from '../../shared/protocol/status.ts';
import { type TopicKind, type TopicParameters, topicOf } from '../../shared/protocol/topics.ts';

export type GoodMessage = Extract<Decoded, { ok: true }>;
export type BadMessage = Extract<Decoded, { ok: false }>;

/** A link that is up, as the rest of the agent uses it. */
export interface Uplink {
  publish<K extends JsonKind>(message: OutgoingMessage<K>): Promise<void>;
  /** Publishes what is JSON of the topic's schema already. */
  publishText<K extends TopicKind>(message: OutgoingText<K>): Promise<void>;
  followGroups(names: readonly string[]): Promise<void>;
  /** Listens to the chunks of exactly these blobs. */
  followBlobs(sha256s: readonly string[]): Promise<void>;
}

export interface OutgoingMessage<K extends JsonKind> {
  readonly kind: K;
  readonly parameters: TopicParameters<K>;
  readonly payload: Payload<K>;
  readonly retain?: boolean;
}

export interface OutgoingText<K extends TopicKind> {
  readonly kind: K;
  readonly parameters: TopicParameters<K>;
  readonly text: string;
}

export interface LinkDeps {
  readonly url: string;
  readonly username: string | undefined;
  readonly password: string | undefined;
  readonly fleet: string;
  readonly device: string;
  readonly bootId: string;
  readonly clock: Clock;
  readonly random: Random;
  readonly newSession: () => string;
  readonly log: Logger;
  readonly backoff: BackoffPolicy;
  /** Whether a boot id is one of this state folder's own. */
  readonly isOwnBoot: (bootId: string) => boolean;
  readonly onMessage: (message: GoodMessage) => void;
  readonly onBadMessage: (message: BadMessage) => void;
  /** Another agent uses this device's identity. */
  readonly onTakeover: (otherBootId: string) => void;
  /** Runs while the link is up; its signal aborts when the link ends. */
  readonly whileUp: (uplink: Uplink, signal: AbortSignal) => Promise<void>;
}

const KEEPALIVE_S = 30;
const CONNECT_TIMEOUT_MS = 10_000;
const PUBLISH_TIMEOUT_MS = 15_000;
/** Who was kicked out by a twin does not fight: it comes back after this long, with jitter. */
const TAKEOVER_BACKOFF_MS = 300_000;

/**
 * Keeps the link to the broker up until the signal aborts: connect, say online, subscribe, work, and when
 * it ends wait and begin again. The wait grows from the first retry on and is forgotten only after a
 * connection that lasted longer than the longest wait.
 */
export async function keepLink(deps: LinkDeps, signal: AbortSignal): Promise<void> {
  let attempt = 0;
  const history = { wasUp: false };
  while (!signal.aborted) {
    const startedMs = deps.clock.monoMs();
    const takenOver = await oneConnection(deps, signal, history);
    if (signal.aborted) return;
    if (deps.clock.monoMs() - startedMs > deps.backoff.capMs) attempt = 0;
    const waitMs = takenOver
      ? TAKEOVER_BACKOFF_MS * (1 + deps.random())
      : backoffMs(attempt, deps.backoff, deps.random);
    attempt += 1;
    await deps.clock.sleep(waitMs, signal).catch(() => undefined);
  }
}

/** One connection from its beginning to its end; answers whether it ended because of a twin. */
async function oneConnection(deps: LinkDeps, signal: AbortSignal, history: History): Promise<boolean> {
  const session = deps.newSession();
  const stop = new AbortController();
  const either = AbortSignal.any([signal, stop.signal]);
  const receiver = createReceiver(deps, history.wasUp);
  try {
    await using connection = await connectMqtt({
      ...endpointOf(deps, session),
      signal,
      onMessage: receiver.receive,
    });
    deps.log.info({ url: deps.url }, 'connected to the broker');
    history.wasUp = true;
    const work = upWith(deps, { connection, session, signal: either });
    const reason = await Promise.race([connection.ended, work, aborted(either)]);
    stop.abort();
    await work.catch(() => undefined);
    if (signal.aborted) await sayOffline(deps, connection, session);
    else deps.log.warn(`the link to ${deps.url} ended: ${describeError(reason)}`);
  } catch (error) {
    if (!signal.aborted) deps.log.warn(describeError(error));
  } finally {
    stop.abort();
  }
  return receiver.sawTwin();
}

/** What the connections before this one leave behind. */
interface History {
  /** Whether this boot has been connected: a foreign status from then on is of a twin. */
  wasUp: boolean;
}

/**
 * Sorts what arrives, and notices when another agent says that it is this device. The broker keeps only one
 * of two with the same id, so they seldom hear each other: what shows is the status that the other one, or its
 * will, has left when we come back. Before the first connection it may be that of a state folder that is gone.
 */
function createReceiver(deps: LinkDeps, wasUp: boolean) {
  let twin: string | undefined;
  const noticeTwin = ({ state, bootId }: DeviceStatus): void => {
    if (deps.isOwnBoot(bootId) || (state === 'offline' && !wasUp)) return;
    if (twin === undefined) deps.onTakeover(bootId);
    twin = bootId;
  };
  return {
    sawTwin: () => twin !== undefined,
    receive: (topic: string, bytes: Uint8Array): void => {
      const message = decodeMessage(topic, bytes);
      if (!message.ok) deps.onBadMessage(message);
      else if (message.kind === 'status') noticeTwin(message.payload);
      else deps.onMessage(message);
    },
  };
}

function endpointOf(deps: LinkDeps, session: string) {
  return {
    url: deps.url,
    clientId: deps.device,
    username: deps.username,
    password: deps.password,
    keepaliveS: KEEPALIVE_S,
    connectTimeoutMs: CONNECT_TIMEOUT_MS,
    publishTimeoutMs: PUBLISH_TIMEOUT_MS,
    will: {
      topic: topicOf('status', deps),
      payload: encodeMessage('status', statusOf(deps, 'offline', session)),
    },
  };
}

function statusOf(deps: LinkDeps, state: 'online' | 'offline', session: string): DeviceStatus {
  return { state, session, bootId: deps.bootId, ts: deps.clock.now() };
}

function aborted(signal: AbortSignal): Promise<undefined> {
  if (signal.aborted) return Promise.resolve(undefined);
  return new Promise((resolve) => {
    signal.addEventListener('abort', () => resolve(undefined), { once: true });
  });
}

interface Up {
  readonly connection: MqttConnection;
  readonly session: string;
  readonly signal: AbortSignal;
}

async function upWith(deps: LinkDeps, { connection, session, signal }: Up): Promise<void> {
  const { fleet, device } = deps;
  // First to listen, then to speak: what our own status overwrites may be that of a twin.
  await connection.subscribe([
    topicOf('controllerStatus', { fleet }),
    topicOf('fleetDesired', { fleet }),
    topicOf('desired', { fleet, device }),
    topicOf('ack', { fleet, device }),
    topicOf('status', { fleet, device }),
    topicOf('command', { fleet, device, id: '+' }),
    topicOf('keyring', { fleet }),
  ]);
  const status = encodeMessage('status', statusOf(deps, 'online', session));
  await connection.publish(topicOf('status', deps), status, { retain: true });
  await deps.whileUp(uplinkOver(deps, connection), signal);
}

function uplinkOver({ fleet }: LinkDeps, connection: MqttConnection): Uplink {
  return {
    publish: ({ kind, parameters, payload, retain = false }) =>
      connection.publish(topicOf(kind, parameters), encodeMessage(kind, payload), { retain }),
    publishText: ({ kind, parameters, text }) =>
      connection.publish(topicOf(kind, parameters), packText(kind, text)),
    followGroups: following(connection, (group) => topicOf('groupDesired', { fleet, group })),
    followBlobs: following(connection, (sha256) => topicOf('chunk', { fleet, sha256, n: '+' })),
  };
}

/** Makes the function that keeps the subscriptions of a connection at what was named last. */
function following(connection: MqttConnection, filterOf: (name: string) => string): Uplink['followGroups'] {
  let followed: ReadonlySet<string> = new Set();
  return async (names) => {
    const wanted = new Set(names);
    const joined = [...wanted].filter((name) => !followed.has(name));
    const left = [...followed].filter((name) => !wanted.has(name));
    followed = wanted;
    await connection.unsubscribe(left.map(filterOf));
    if (joined.length > 0) await connection.subscribe(joined.map(filterOf));
  };
}

/** A stop that was asked for is told by ourselves: the will is for those that were not. */
async function sayOffline(deps: LinkDeps, connection: MqttConnection, session: string): Promise<void> {
  const status = encodeMessage('status', statusOf(deps, 'offline', session));
  await connection.publish(topicOf('status', deps), status, { retain: true }).catch(() => undefined);
}
