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
  publish(topic: string, payload: string): Promise<void>;
  /** Publishes retained, now or as soon as there is a connection; of one topic only the newest matters. */
  retain(message: RetainedMessage): void;
}

const RECONNECT: BackoffPolicy = { firstMs: 500, capMs: 30_000 };
const KEEPALIVE_S = 30;
const CONNECT_TIMEOUT_MS = 10_000;
const PUBLISH_TIMEOUT_MS = 10_000;

/** The controller's connection to its broker: makes it, makes it again, and keeps its presence and retained set there. */
export function createLink(deps: LinkDeps): Link {
  const { options, clock, random, log } = deps;
  const stopping = new AbortController();
  const statusTopic = topicOf('controllerStatus', { fleet: options.fleet });
  const retainer = createRetainer();
  let connection: MqttConnection | undefined;
  let session = '';
  let running: Promise<void> | undefined;

  const status = (state: 'online' | 'offline') =>
    encodeMessage('controllerStatus', { state, session, ts: clock.now() });

  const connect = (): Promise<MqttConnection> => {
    session = deps.newId();
    return connectMqtt({
      url: options.url,
      username: options.username,
      password: options.password,
      clientId: `ofa-ctl-${deps.newId().slice(0, 12)}`,
      keepaliveS: KEEPALIVE_S,
      connectTimeoutMs: CONNECT_TIMEOUT_MS,
      publishTimeoutMs: PUBLISH_TIMEOUT_MS,
      will: { topic: statusTopic, payload: status('offline') },
      onMessage: deps.onMessage,
    });
  };

  /** One connection, from its start to its end. */
  const runSession = async (signal: AbortSignal): Promise<void> => {
    await using current = await connect();
    await current.subscribe(filtersOf(options.fleet));
    for (const message of deps.retainedSet()) retainer.offer(message);
    await retainer.drain(current);
    await current.publish(statusTopic, status('online'), { retain: true });
    connection = current;
    log.info({ url: options.url }, 'connected to the broker');
    try {
      await retainer.pump(current, signal);
    } finally {
      connection = undefined;
      if (signal.aborted) await sayGoodbye(current);
    }
  };

  const sayGoodbye = async (current: MqttConnection): Promise<void> => {
    await current.publish(statusTopic, status('offline'), { retain: true }).catch(() => undefined);
  };

  const loop = async (signal: AbortSignal): Promise<void> => {
    for (let attempt = 0; !signal.aborted; attempt += 1) {
      const startedMs = clock.monoMs();
      try {
        await runSession(signal);
      } catch (error) {
        log.warn(
          { url: options.url, reason: describeError(error) },
          'no connection to the broker; trying again',
        );
      }
      if (signal.aborted) return;
      if (clock.monoMs() - startedMs > RECONNECT.capMs) attempt = 0;
      await clock.sleep(backoffMs(attempt, RECONNECT, random), signal);
    }
  };

  return {
    start: () => {
      const onFault = (error: unknown) => log.error({ err: error }, 'the link failed and is started again');
      running = supervise(loop, stopping.signal, { clock, random, policy: RECONNECT, onFault });
    },
    connected: () => connection !== undefined,
    publish: async (topic, payload) => {
      if (connection === undefined)
        throw new AppError('unreachable', `no connection to the broker ${options.url}`);
      await connection.publish(topic, payload);
    },
    retain: (message) => retainer.offer(message),
    [Symbol.asyncDispose]: async () => {
      stopping.abort();
      await running;
    },
  };
}

function filtersOf(fleet: string): string[] {
  const any = { fleet, device: '+', id: '+' };
  return (['telemetry', 'event', 'status', 'reported', 'commandResult'] as const).map((kind) =>
    topicOf(kind, any),
  );
}
