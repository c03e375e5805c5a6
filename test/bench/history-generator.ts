/**
 * A process that publishes windows as a fleet of agents does. It makes all of its messages once; every run
 * sends the same ones to the broker that it is told, and waits until each is acknowledged on `t/ack`.
 */
import mqtt, { type MqttClient } from 'mqtt';
import { invariant } from '../../shared/errors.ts';
import { AckSchema } from '../../shared/protocol/event.ts';
import { packText } from '../../shared/protocol/messages.ts';
import { topicOf } from '../../shared/protocol/topics.ts';
import { parseJson, parserOf } from '../../shared/schema.ts';
import {
  BENCH_FLEET,
  bodyText,
  deviceName,
  envelopeText,
  simulateWindows,
  WINDOW_MS,
} from './history-windows.ts';

/** What the process is asked for. */
export type GeneratorTask =
  | {
      readonly type: 'prepare';
      readonly publishers: number;
      /** Of each publisher. */
      readonly windows: number;
      /** When the first of them begin, milliseconds since the epoch. */
      readonly ts: number;
    }
  | { readonly type: 'run'; readonly url: string };

/** Windows of one publisher that are not acknowledged, at most. */
const UNACKNOWLEDGED = 50;
/** Different bodies; what is around them differs in every message. */
const BODIES = 500;
/** The run's middle counts: at its begin programs are cold, at its end publishers wait for each other. */
const FROM_SHARE = 0.25;
const TO_SHARE = 0.9;

const parseAck = parserOf(AckSchema);

/** Of each publisher, its messages in their order. */
let messages: Buffer[][] = [];

process.on('message', async (task: GeneratorTask) => {
  if (task.type === 'prepare') {
    messages = prepare(task);
    const bytes = messages.flat().reduce((sum, { length }) => sum + length, 0);
    process.send?.({ type: 'prepared', bytes: bytes / messages.flat().length });
  } else {
    process.send?.({ type: 'ran', perS: await run(task.url) });
  }
});
process.once('SIGTERM', () => process.disconnect());

function prepare({ publishers, windows, ts }: Extract<GeneratorTask, { type: 'prepare' }>): Buffer[][] {
  const bodies = simulateWindows(BODIES, 1).map(({ body }) => bodyText(body));
  return Array.from({ length: publishers }, (_, publisher) =>
    Array.from({ length: windows }, (_of, index) => {
      const stamps = { device: deviceName(publisher), seq: index + 1, ts: ts + (index + 1) * WINDOW_MS };
      const body = bodies[(publisher * windows + index) % BODIES] ?? '';
      return Buffer.from(packText('telemetry', envelopeText(stamps, body)));
    }),
  );
}

/** Sends everything. @returns windows that were acknowledged per second, in the run's middle */
async function run(url: string): Promise<number> {
  const all = messages.flat().length;
  const progress = createProgress(all);
  const clients = await Promise.all(messages.map((_, publisher) => connect(url, publisher)));
  for (const [publisher, client] of clients.entries()) publish(client, publisher, progress);
  const perS = await progress.done;
  await Promise.all(clients.map((client) => client.endAsync()));
  return perS;
}

interface Progress {
  add(windows: number): void;
  /** Resolves when all are acknowledged: with the rate. */
  readonly done: Promise<number>;
}

function createProgress(all: number): Progress {
  const done = Promise.withResolvers<number>();
  const [from, to] = [Math.floor(FROM_SHARE * all), Math.floor(TO_SHARE * all)];
  let acknowledged = 0;
  let begin: { readonly ms: number; readonly acknowledged: number } | undefined;
  let perS = 0;
  return {
    done: done.promise,
    add: (windows) => {
      acknowledged += windows;
      if (acknowledged < from) return;
      const ms = performance.now();
      begin ??= { ms, acknowledged };
      if (perS === 0 && acknowledged >= to) {
        perS = (1_000 * (acknowledged - begin.acknowledged)) / (ms - begin.ms);
      }
      if (acknowledged >= all) done.resolve(perS);
    },
  };
}

async function connect(url: string, publisher: number): Promise<MqttClient> {
  const client = await mqtt.connectAsync(url, {
    protocolVersion: 4,
    clean: true,
    clientId: `bench-${publisher}`,
    reconnectPeriod: 0,
    queueQoSZero: false,
  });
  // A run that lost one publisher would never end.
  client.on('error', rethrow);
  await client.subscribeAsync(topicOf('ack', addressOf(publisher)), { qos: 1 });
  return client;
}

function rethrow(error: Error): never {
  throw error;
}

function addressOf(publisher: number) {
  return { fleet: BENCH_FLEET, device: deviceName(publisher) };
}

/** Publishes the messages of one publisher, as many at a time as may be without acknowledgement. */
function publish(client: MqttClient, publisher: number, progress: Progress): void {
  const own = messages[publisher] ?? [];
  const topic = topicOf('telemetry', addressOf(publisher));
  let sent = 0;
  let acknowledged = 0;
  const send = (): void => {
    for (; sent < own.length && sent - acknowledged < UNACKNOWLEDGED; sent += 1) {
      const message = own[sent];
      invariant(message !== undefined, 'a publisher has all of its messages');
      client.publish(topic, message, { qos: 1 });
    }
  };
  client.on('message', (_, payload) => {
    const { ranges } = parseJson(payload.toString(), parseAck, topic);
    const windows = ranges.reduce((sum, [from, to]) => sum + to - from + 1, 0);
    acknowledged += windows;
    progress.add(windows);
    send();
  });
  send();
}
