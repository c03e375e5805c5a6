import mqtt, { type MqttClient } from 'mqtt';
import { AppError, describeError } from './errors.ts';

/**
 * One connection to a broker, from CONNECT to its end. It never reconnects, queues or resends by itself:
 * who owns it decides that (the library's own offline queue loses and floods, see MQTT.js #607 and #397,
 * and its promises can stay open for ever while offline, #1987).
 */
export interface MqttConnection extends AsyncDisposable {
  /**
   * Publishes at QoS 1; resolves when the broker has it.
   * @throws AppError `unreachable` when the connection ended first, `timeout` when no PUBACK came
   */
  publish(topic: string, payload: string | Uint8Array, options?: { retain?: boolean }): Promise<void>;
  /** Subscribes at QoS 1. @throws AppError `unreachable` when refused or ended */
  subscribe(filters: readonly string[]): Promise<void>;
  unsubscribe(filters: readonly string[]): Promise<void>;
  /** Resolves, with the reason, when the connection has ended for whatever cause. */
  readonly ended: Promise<Error>;
  /** Ends the connection with DISCONNECT, so that the will is not sent. */
  close(): Promise<void>;
}

export interface MqttOptions {
  readonly url: string;
  readonly clientId: string;
  readonly username?: string | undefined;
  readonly password?: string | undefined;
  readonly keepaliveS: number;
  readonly will?: { readonly topic: string; readonly payload: string } | undefined;
  readonly connectTimeoutMs: number;
  readonly publishTimeoutMs: number;
  /** Gives up connecting when it aborts; a connection that is up is ended with `close`. */
  readonly signal?: AbortSignal | undefined;
  readonly onMessage: (topic: string, payload: Uint8Array) => void;
}

/** @throws AppError `unreachable` when no broker answers at the address in time, or it refuses */
export async function connectMqtt(options: MqttOptions): Promise<MqttConnection> {
  const client = mqtt.connect(options.url, {
    protocolVersion: 4,
    clean: true,
    clientId: options.clientId,
    keepalive: options.keepaliveS,
    connectTimeout: options.connectTimeoutMs,
    reconnectPeriod: 0,
    queueQoSZero: false,
    resubscribe: false,
    ...(options.username === undefined ? {} : { username: options.username }),
    ...(options.password === undefined ? {} : { password: options.password }),
    ...(options.will === undefined
      ? {}
      : { will: { ...options.will, payload: Buffer.from(options.will.payload), qos: 1, retain: true } }),
  });
  client.on('message', (topic, payload) => options.onMessage(topic, payload));
  const ended = endOf(client);
  const connected = new Promise<undefined>((resolve) => client.once('connect', () => resolve(undefined)));
  const giveUp = (): unknown => client.end(true);
  options.signal?.addEventListener('abort', giveUp, { once: true });
  const failure = await Promise.race([connected, ended]);
  options.signal?.removeEventListener('abort', giveUp);
  if (failure !== undefined) {
    client.end(true);
    throw new AppError('unreachable', `broker ${options.url} does not answer`, { cause: failure });
  }
  return wrap(client, ended, options);
}

/** The one promise that everything under way is raced against. */
function endOf(client: MqttClient): Promise<Error> {
  return new Promise((resolve) => {
    let last: Error | undefined;
    client.on('error', (error) => {
      last = error;
    });
    client.once('close', () => resolve(last ?? new Error('the connection was closed')));
  });
}

/** Races one piece of work against the end of the connection. */
type OrEnded = <T>(work: Promise<T>, what: string) => Promise<T>;

/**
 * The pieces under way are kept in a set and leave it when they are done. To chain each to `ended` itself
 * would hold on to all of them for as long as the connection lives, which may be months.
 */
function raceOf(ended: Promise<Error>, url: string): OrEnded {
  const underWay = new Set<(cause: Error) => void>();
  let over: Error | undefined;
  void ended.then((cause) => {
    over = cause;
    for (const end of underWay) end(cause);
  });
  return async (work, what) => {
    const lost = Promise.withResolvers<never>();
    const end = (cause: Error): void =>
      lost.reject(new AppError('unreachable', `${what}: the connection to ${url} ended`, { cause }));
    underWay.add(end);
    if (over !== undefined) end(over);
    try {
      return await Promise.race([work, lost.promise]);
    } finally {
      underWay.delete(end);
    }
  };
}

function wrap(client: MqttClient, ended: Promise<Error>, options: MqttOptions): MqttConnection {
  const orEnded = raceOf(ended, options.url);
  const close = async (): Promise<void> => {
    if (client.connected) await Promise.race([client.endAsync(false), ended]);
    client.end(true);
  };
  return {
    ended,
    close,
    [Symbol.asyncDispose]: close,
    publish: async (topic, payload, { retain = false } = {}) => {
      const bytes =
        typeof payload === 'string'
          ? payload
          : Buffer.from(payload.buffer, payload.byteOffset, payload.byteLength);
      await orEnded(withTimeout(client, topic, bytes, retain, options), topic);
    },
    subscribe: async (filters) => {
      for (const some of batchesOf(filters)) {
        // The library rejects when the broker refuses any of the filters, and does not say which.
        const granted = client.subscribeAsync(some, { qos: 1 }).catch((cause: unknown) => {
          throw new AppError('unreachable', `the subscription to ${some.join(', ')} failed`, { cause });
        });
        await orEnded(granted, 'subscribe');
      }
    },
    unsubscribe: async (filters) => {
      for (const some of batchesOf(filters)) await orEnded(client.unsubscribeAsync(some), 'unsubscribe');
    },
  };
}

/** Brokers in the cloud take no more filters in one packet (AWS IoT Core: 8). */
const FILTERS_PER_PACKET = 8;

function batchesOf(filters: readonly string[]): string[][] {
  const count = Math.ceil(filters.length / FILTERS_PER_PACKET);
  return Array.from({ length: count }, (_, index) =>
    filters.slice(index * FILTERS_PER_PACKET, (index + 1) * FILTERS_PER_PACKET),
  );
}

async function withTimeout(
  client: MqttClient,
  topic: string,
  payload: string | Buffer,
  retain: boolean,
  options: MqttOptions,
): Promise<void> {
  if (!client.connected) throw new AppError('unreachable', `${topic}: not connected to ${options.url}`);
  const expiry = Promise.withResolvers<never>();
  const timer = setTimeout(() => {
    expiry.reject(
      new AppError('timeout', `${topic}: no answer from ${options.url} in ${options.publishTimeoutMs} ms`),
    );
  }, options.publishTimeoutMs);
  try {
    await Promise.race([client.publishAsync(topic, payload, { qos: 1, retain }), expiry.promise]);
  } catch (cause) {
    if (cause instanceof AppError) throw cause;
    throw new AppError('unreachable', `${topic}: ${describeError(cause)}`, { cause });
  } finally {
    clearTimeout(timer);
  }
}
