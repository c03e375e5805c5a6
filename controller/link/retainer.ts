import type { MqttConnection } from '../../shared/mqtt.ts';

/** A message that the broker has to hold. */
export interface RetainedMessage {
  readonly topic: string;
  readonly payload: string;
}

export interface Retainer {
  /** Puts a message in line; a newer one of the same topic takes its place. */
  offer(message: RetainedMessage): void;
  /** Publishes all that is in line; one that fails stays there. */
  drain(connection: MqttConnection): Promise<void>;
  /** Publishes what comes into line until the connection ends (then it throws why) or `signal` aborts. */
  pump(connection: MqttConnection, signal: AbortSignal): Promise<void>;
}

/** Publishes under way at once: enough to be quick, few enough to leave the broker to the agents. */
const IN_FLIGHT = 32;

/** A line of retained messages, at most one per topic, that outlives the connections it is published on. */
export function createRetainer(): Retainer {
  const line = new Map<string, string>();
  let offered = Promise.withResolvers<void>();

  const publishFirst = async (connection: MqttConnection): Promise<boolean> => {
    const [first] = line;
    if (first === undefined) return false;
    const [topic, payload] = first;
    line.delete(topic);
    try {
      await connection.publish(topic, payload, { retain: true });
      return true;
    } catch (error) {
      if (!line.has(topic)) line.set(topic, payload);
      throw error;
    }
  };

  const drain = async (connection: MqttConnection): Promise<void> => {
    const worker = async () => {
      while (await publishFirst(connection));
    };
    await Promise.all(Array.from({ length: Math.min(IN_FLIGHT, line.size) }, worker));
  };

  return {
    offer: ({ topic, payload }) => {
      line.set(topic, payload);
      offered.resolve();
    },
    drain,
    pump: async (connection, signal) => {
      const over = Promise.race([failureOf(connection), aborted(signal)]);
      // It is awaited only while the line is empty.
      over.catch(() => undefined);
      while (!signal.aborted) {
        offered = Promise.withResolvers();
        if (line.size > 0) await drain(connection);
        else await Promise.race([offered.promise, over]);
      }
      await drain(connection).catch(() => undefined);
    },
  };
}

/** Rejects with the reason when the connection has ended. */
async function failureOf(connection: MqttConnection): Promise<never> {
  throw await connection.ended;
}

function aborted(signal: AbortSignal): Promise<void> {
  return new Promise((resolve) => {
    if (signal.aborted) resolve();
    signal.addEventListener('abort', () => resolve(), { once: true });
  });
}
