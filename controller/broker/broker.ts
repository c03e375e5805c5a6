import { createServer, type Server } from 'node:net';
import { Aedes, type Client, type PublishPacket } from 'aedes';
import { AppError, isSystemError } from '../../shared/errors.ts';
import type { Logger } from '../../shared/log.ts';
import { MAX_MESSAGE_BYTES } from '../../shared/protocol/topics.ts';
import { gateSocket } from './gate.ts';
import { createRetainedBound, type RetainedBound } from './retained.ts';
import { createTurns } from './turns.ts';

export interface BrokerOptions {
  readonly host: string;
  /** 0 takes a free one. */
  readonly port: number;
  readonly log: Logger;
}

export interface BrokerCounters {
  /** Messages over the protocol's size that were not passed on. */
  droppedMessages: number;
  /** Retained messages that were not kept because there are too many, or too large ones. */
  droppedRetained: number;
  /** Connections that were ended because they announced a packet beyond all measure. */
  endedConnections: number;
  refusedConnections: number;
}

export interface Broker extends AsyncDisposable {
  readonly url: string;
  readonly port: number;
  readonly counters: Readonly<BrokerCounters>;
  /**
   * Hands what is published on these topics to a function of this process, without the way through a socket:
   * for messages that come by the thousand. What is retained already is not handed over.
   * @param onMessage must not throw; what it gets is only its own until it returns
   */
  listen(filters: readonly string[], onMessage: (topic: string, payload: Uint8Array) => void): Promise<void>;
  close(): Promise<void>;
}

/** Limits of the embedded broker; beyond them an external one is the right choice. */
const LIMITS = {
  connections: 20_000,
  retainedTopics: 100_000,
  retainedBytes: 256 * 1024 * 1024,
  /** Topic filters of one connection; an agent needs one for each of its groups and a few more. */
  filters: 1_000,
  /** Far above the protocol's message size: whoever announces this is not an agent. */
  packetBytes: 1024 * 1024,
  /** Unsent bytes of one reader: with less, one slow reader holds up deliveries to all. */
  unsentBytes: 1024 * 1024,
  /** A reader that takes nothing for this long is disconnected. */
  drainMs: 5_000,
  /** Bytes that are read from all connections before whatever else the thread has to do: a few milliseconds. */
  turnBytes: 64 * 1024,
  /** Packets that one connection may have sent before it was accepted. */
  earlyPackets: 42,
} as const;

/** Where messages go that must not arrive anywhere; `#` does not match it, and nobody may subscribe to it. */
const NOWHERE = '$SYS/dropped';

/**
 * Starts the embedded MQTT 3.1.1 broker. Its memory is bounded: it keeps no sessions, as the protocol
 * needs none, and no message that is over the protocol's size.
 * @throws AppError `conflict` when the port is taken
 */
export async function startBroker({ host, port, log }: BrokerOptions): Promise<Broker> {
  const counters: BrokerCounters = {
    droppedMessages: 0,
    droppedRetained: 0,
    endedConnections: 0,
    refusedConnections: 0,
  };
  const aedes = await createAedes(counters, log);
  const turns = createTurns(LIMITS.turnBytes);
  const server = createServer({ noDelay: true }, (socket) => {
    const onOversized = () => {
      counters.endedConnections += 1;
      log.warn({ address: socket.remoteAddress }, 'an MQTT packet beyond all measure was announced');
    };
    const { packetBytes: maxPacketBytes, unsentBytes: maxUnsentBytes } = LIMITS;
    aedes.handle(gateSocket(socket, { maxPacketBytes, maxUnsentBytes, onOversized, turns }));
  });
  server.maxConnections = LIMITS.connections;
  server.on('drop', () => {
    counters.refusedConnections += 1;
  });
  const bound = await listen(server, host, port).catch(async (error: unknown) => {
    await closeAedes(aedes);
    throw error;
  });
  const close = async (): Promise<void> => {
    const closed = new Promise<void>((resolve) => server.close(() => resolve()));
    await closeAedes(aedes);
    await closed;
  };
  const listenIn: Broker['listen'] = async (filters, onMessage) => {
    const deliver = ({ topic, payload }: PublishPacket, done: () => void) => {
      // Packets that were made in this process may hold text; those from sockets are bytes.
      onMessage(topic, typeof payload === 'string' ? Buffer.from(payload) : payload);
      done();
    };
    const added = (filter: string) =>
      new Promise<void>((resolve) => aedes.subscribe(filter, deliver, resolve));
    await Promise.all(filters.map(added));
  };
  const name = host.includes(':') ? `[${host}]` : host;
  const url = `mqtt://${name}:${bound}`;
  return { url, port: bound, counters, listen: listenIn, close, [Symbol.asyncDispose]: close };
}

async function createAedes(counters: BrokerCounters, log: Logger): Promise<Aedes> {
  const retained = createRetainedBound({ topics: LIMITS.retainedTopics, bytes: LIMITS.retainedBytes });
  const filters = new WeakMap<Client, Set<string>>();
  const aedes = await Aedes.createBroker({
    drainTimeout: LIMITS.drainMs,
    queueLimit: LIMITS.earlyPackets,
    maxTopicLevels: 16,
    maxInflightInbound: 100,
    preConnect: (_client, packet, done) => {
      // A kept session queues without bound for a client that never returns.
      packet.clean = true;
      done(null, true);
    },
    authorizePublish: (_client, packet, done) => {
      if (packet.topic.startsWith('$')) return done(new Error('topics that begin with $ cannot be written'));
      limit(packet, retained, counters);
      done(null);
    },
    authorizeSubscribe: (client, subscription, done) => {
      const own = filters.get(client) ?? new Set();
      filters.set(client, own);
      const isAllowed = own.size < LIMITS.filters || own.has(subscription.topic);
      if (!isAllowed || subscription.topic.startsWith('$')) return done(null, null);
      own.add(subscription.topic);
      done(null, subscription);
    },
  });
  aedes.on('unsubscribe', (gone, client) => {
    for (const filter of gone) filters.get(client)?.delete(filter);
  });
  const lost = (client: Client, error: Error) => {
    log.debug({ client: client.id, error: error.message }, 'an MQTT connection ended with an error');
  };
  aedes.on('clientError', lost);
  aedes.on('connectionError', lost);
  return aedes;
}

/** Sends what is too large nowhere: refusing it would end the connection of a sender that means well. */
function limit(packet: PublishPacket, retained: RetainedBound, counters: BrokerCounters): void {
  if (packet.payload.length > MAX_MESSAGE_BYTES) {
    counters.droppedMessages += 1;
    packet.topic = NOWHERE;
    packet.payload = Buffer.alloc(0);
    packet.retain = false;
  }
  if (!packet.retain || retained.keep(packet.topic, packet.payload.length)) return;
  counters.droppedRetained += 1;
  packet.retain = false;
}

async function listen(server: Server, host: string, port: number): Promise<number> {
  const { promise, resolve, reject } = Promise.withResolvers<void>();
  server.once('error', reject);
  server.listen(port, host, resolve);
  try {
    await promise;
  } catch (cause) {
    if (!isSystemError(cause, 'EADDRINUSE')) {
      throw new AppError('system', `the broker cannot listen on ${host}:${port}`, { cause });
    }
    const advice = 'stop what has it, or choose another with --broker-port';
    throw new AppError('conflict', `port ${port} on ${host} is already in use; ${advice}`);
  }
  const address = server.address();
  return typeof address === 'object' && address !== null ? address.port : port;
}

function closeAedes(aedes: Aedes): Promise<void> {
  return new Promise((resolve) => aedes.close(() => resolve()));
}
