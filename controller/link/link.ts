import { type BackoffPolicy, backoffMs, type Random, supervise } from '../../shared/backoff.ts';
import type { Clock } from '../../shared/clock.ts';
import { AppError, describeError } from '../../shared/errors.ts';
import type { Logger } from '../../shared/log.ts';
import { connectMqtt, type MqttConnection } from '../../shared/mqtt.ts';
import { encodeMessage } from '../../shared/protocol/messages.ts';
import { topicOf } from '../../shared/protocol/topics.ts';
import { createRetainer, type RetainedMessage } from './retainer.ts';

export interface LinkOptions {
  readonly url: string;
  readonly username?: string | undefined;
  readonly password?: string | undefined;
  readonly fleet: string;
  /** Whether telemetry and events come another way: the embedded broker hands them over itself. */
  readonly withoutRecords?: boolean;
}

export interface LinkDeps {
  readonly options: LinkOptions;
  readonly clock: Clock;
  readonly random: Random;
  /** Makes unique texts: session and client ids. */
  readonly newId: () => string;
  readonly log: Logger;
  /** Must not throw. */
  readonly onMessage: (topic: string, payload: Uint8Array) => void;
  /** Everything that the broker has to hold: published again at every connection, as it may have come back empty. */
  readonly retainedSet: () => Iterable<RetainedMessage>;
}

export interface Link extends AsyncDisposable {
  start(): void;
  connected(): boolean;
  /**
   * Publishes now, not retained.
   * @throws AppError `unreachable` when there is no connection, `timeout` when the broker does not answer
   */
  publish(topic: string, payload: string | Uint8Array): Promise<void>;
  /** Publishes retained, now or as soon as there is a connection; of one topic only the newest matters. */
  retain(message: RetainedMessage): void;
}

const RECONNECT: BackoffPolicy = { firstMs: 500, capMs: 30_000 };
const KEEPALIVE_S = 30;
const CONNECT_TIMEOUT_MS = 10_000;
const PUBLISH_TIMEOUT_MS = 10_000;

/** The controller's connection to its broker: makes it, makes it again, and keeps its presence and retained set there. */
export function createLink(deps: LinkDeps): Link {
  return new BrokerLink(deps);
}

class BrokerLink implements Link {
  readonly #deps: LinkDeps;
  readonly #retainer = createRetainer();
  readonly #stopping = new AbortController();
  #connection: MqttConnection | undefined;
  #running: Promise<void> | undefined;

  constructor(deps: LinkDeps) {
    this.#deps = deps;
  }

  start(): void {
    const { clock, random, log } = this.#deps;
    const onFault = (error: unknown) => log.error({ err: error }, 'the link failed and is started again');
    const loop = (signal: AbortSignal) => this.#loop(signal);
    this.#running = supervise(loop, this.#stopping.signal, { clock, random, policy: RECONNECT, onFault });
  }

  connected(): boolean {
    return this.#connection !== undefined;
  }

  async publish(topic: string, payload: string | Uint8Array): Promise<void> {
    if (this.#connection === undefined) {
      throw new AppError('unreachable', `no connection to the broker ${this.#deps.options.url}`);
    }
    await this.#connection.publish(topic, payload);
  }

  retain(message: RetainedMessage): void {
    this.#retainer.offer(message);
  }

  async [Symbol.asyncDispose](): Promise<void> {
    this.#stopping.abort();
    await this.#running;
  }

  async #loop(signal: AbortSignal): Promise<void> {
    const { options, clock, random, log } = this.#deps;
    for (let attempt = 0; !signal.aborted; attempt += 1) {
      const startedMs = clock.monoMs();
      try {
        await this.#runSession(signal);
      } catch (error) {
        const reason = describeError(error);
        log.warn({ url: options.url, reason }, 'no connection to the broker; trying again');
      }
      if (signal.aborted) return;
      if (clock.monoMs() - startedMs > RECONNECT.capMs) attempt = 0;
      await clock.sleep(backoffMs(attempt, RECONNECT, random), signal);
    }
  }

  /** One connection, from its start to its end. */
  async #runSession(signal: AbortSignal): Promise<void> {
    const { options, clock, log, newId, retainedSet } = this.#deps;
    const session = newId();
    const topic = topicOf('controllerStatus', { fleet: options.fleet });
    const status = (state: 'online' | 'offline') =>
      encodeMessage('controllerStatus', { state, session, ts: clock.now() });
    await using connection = await this.#connect({ topic, payload: status('offline') });
    await connection.subscribe([
      ...filtersOf(options.fleet, STATE_KINDS),
      ...(options.withoutRecords === true ? [] : recordFilters(options.fleet)),
    ]);
    for (const message of retainedSet()) this.#retainer.offer(message);
    await this.#retainer.drain(connection);
    await connection.publish(topic, status('online'), { retain: true });
    this.#connection = connection;
    log.info({ url: options.url }, 'connected to the broker');
    try {
      await this.#retainer.pump(connection, signal);
    } finally {
      this.#connection = undefined;
      const goodbye = connection.publish(topic, status('offline'), { retain: true });
      await goodbye.catch(() => undefined);
    }
  }

  #connect(will: RetainedMessage): Promise<MqttConnection> {
    const { options, newId, onMessage } = this.#deps;
    return connectMqtt({
      url: options.url,
      username: options.username,
      password: options.password,
      clientId: `ofa-ctl-${newId().slice(0, 12)}`,
      keepaliveS: KEEPALIVE_S,
      connectTimeoutMs: CONNECT_TIMEOUT_MS,
      publishTimeoutMs: PUBLISH_TIMEOUT_MS,
      will,
      onMessage,
    });
  }
}

type FromAgents = 'telemetry' | 'event' | 'status' | 'reported' | 'commandResult' | 'want';

const STATE_KINDS: readonly FromAgents[] = ['status', 'reported', 'commandResult', 'want'];

function filtersOf(fleet: string, kinds: readonly FromAgents[]): string[] {
  return kinds.map((kind) => topicOf(kind, { fleet, device: '+', id: '+' }));
}

/** The topics of telemetry and events of a fleet. */
export function recordFilters(fleet: string): string[] {
  return filtersOf(fleet, ['telemetry', 'event']);
}
