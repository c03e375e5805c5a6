import { createServer, type Server, type Socket } from 'node:net';
import { Aedes } from 'aedes';
import { afterEach, beforeEach, describe, expect, test } from 'vitest';
import { describeError } from '../../shared/errors.ts';
import { connectMqtt, type MqttConnection, type MqttOptions } from '../../shared/mqtt.ts';

interface Line {
  readonly url: string;
  readonly broker: Aedes;
  /** Cuts every connection, as a network does: without a word. */
  cut(): void;
  close(): Promise<void>;
}

function listen(server: Server): Promise<number> {
  return new Promise((resolve) => {
    server.listen(0, '127.0.0.1', () => {
      const address = server.address();
      resolve(typeof address === 'object' && address !== null ? address.port : 0);
    });
  });
}

async function startBroker(): Promise<Line> {
  const broker = await Aedes.createBroker();
  const sockets = new Set<Socket>();
  const server = createServer((socket) => {
    sockets.add(socket);
    socket.once('close', () => sockets.delete(socket));
    broker.handle(socket);
  });
  const url = `mqtt://127.0.0.1:${await listen(server)}`;
  const cut = (): void => {
    for (const socket of sockets) socket.destroy();
  };
  const close = async (): Promise<void> => {
    cut();
    await new Promise<void>((resolve) => broker.close(() => resolve()));
    await new Promise<void>((resolve) => server.close(() => resolve()));
  };
  return { url, broker, cut, close };
}

let line: Line;
let connections: MqttConnection[];

beforeEach(async () => {
  line = await startBroker();
  connections = [];
});

afterEach(async () => {
  for (const connection of connections) await connection.close();
  await line.close();
});

async function connect(clientId: string, options: Partial<MqttOptions> = {}): Promise<MqttConnection> {
  const connection = await connectMqtt({
    url: line.url,
    clientId,
    keepaliveS: 30,
    connectTimeoutMs: 2_000,
    publishTimeoutMs: 2_000,
    onMessage: () => undefined,
    ...options,
  });
  connections.push(connection);
  return connection;
}

/** A listener that collects what it hears, and a promise of the first message. */
async function listener(filter: string) {
  const heard: [topic: string, text: string][] = [];
  const first = Promise.withResolvers<void>();
  const connection = await connect('listener', {
    onMessage: (topic, payload) => {
      heard.push([topic, Buffer.from(payload).toString()]);
      first.resolve();
    },
  });
  await connection.subscribe([filter]);
  return { heard, first: first.promise, connection };
}

describe('publishing', () => {
  test('resolves once the broker has the message, text and bytes alike', async () => {
    const { heard, connection } = await listener('a/+');
    const sender = await connect('sender');
    await sender.publish('a/1', 'text');
    await sender.publish('a/2', new TextEncoder().encode('..bytes..').subarray(2, 7));
    await connection.publish('b', 'after');
    await expect
      .poll(() => heard)
      .toEqual([
        ['a/1', 'text'],
        ['a/2', 'bytes'],
      ]);
  });

  test('retains what it is told to retain', async () => {
    const sender = await connect('sender');
    await sender.publish('r/kept', 'yes', { retain: true });
    await sender.publish('r/gone', 'no');
    const { heard, first } = await listener('r/+');
    await first;
    expect(heard).toEqual([['r/kept', 'yes']]);
  });

  test('is refused as unreachable when the line is cut before the answer', async () => {
    const sender = await connect('sender');
    line.broker.authorizePublish = () => line.cut();
    await expect(sender.publish('a', 'x')).rejects.toMatchObject({ code: 'unreachable' });
    await expect(sender.publish('a', 'x')).rejects.toMatchObject({ code: 'unreachable' });
  });

  test('is refused as a timeout when no answer comes', async () => {
    const sender = await connect('sender', { publishTimeoutMs: 50 });
    line.broker.authorizePublish = () => undefined;
    const publishing = sender.publish('a', 'x');
    await expect(publishing).rejects.toMatchObject({ code: 'timeout' });
    await expect(publishing).rejects.toThrow(/^a: no answer from mqtt:.* in 50 ms$/);
    line.cut();
  });
});

describe('the end of a connection', () => {
  test('is told when the line is cut', async () => {
    const connection = await connect('client');
    line.cut();
    expect(await connection.ended).toBeInstanceOf(Error);
  });

  test('sends the will when the line is cut', async () => {
    const { heard, first } = await listener('will');
    const server = Promise.withResolvers<void>();
    line.broker.once('client', (client) => {
      // Only this client's line is cut; the listener's stays.
      setImmediate(() => client.conn.destroy());
      server.resolve();
    });
    await connect('client', { will: { topic: 'will', payload: 'gone' } });
    await server.promise;
    await first;
    expect(heard).toEqual([['will', 'gone']]);
  });

  test('sends no will when it is closed in order', async () => {
    const { heard, connection } = await listener('will');
    const client = await connect('client', { will: { topic: 'will', payload: 'gone' } });
    await client.close();
    expect(await client.ended).toBeInstanceOf(Error);
    await connection.publish('will', 'marker');
    await expect.poll(() => heard).toEqual([['will', 'marker']]);
  });

  test('may be asked for twice, and after the line is gone', async () => {
    const connection = await connect('client');
    line.cut();
    await connection.ended;
    await connection.close();
    await connection.close();
  });
});

describe('connecting', () => {
  test('to a port where no one listens is refused as unreachable, soon', async () => {
    const { url } = line;
    await line.close();
    line = await startBroker();
    await expect(connect('client', { url })).rejects.toMatchObject({ code: 'unreachable' });
  });

  test('to a port that never answers is given up after the time that was set', async () => {
    const sockets: Socket[] = [];
    const mute = createServer((socket) => sockets.push(socket));
    const url = `mqtt://127.0.0.1:${await listen(mute)}`;
    await expect(connect('client', { url, connectTimeoutMs: 200 })).rejects.toMatchObject({
      code: 'unreachable',
    });
    for (const socket of sockets) socket.destroy();
    mute.close();
  });

  test('with credentials that the broker refuses is refused as unreachable, and says so', async () => {
    line.broker.authenticate = (_client, username, password, done) => {
      done(null, username === 'agent' && password?.toString() === 'right');
    };
    const connecting = connect('client', { username: 'agent', password: 'wrong' });
    const error: unknown = await connecting.catch((thrown: unknown) => thrown);
    expect(error).toMatchObject({ code: 'unreachable' });
    expect(describeError(error)).toMatch(/^broker mqtt:.*Not authorized/);
    await connect('client', { username: 'agent', password: 'right' });
  });
});

describe('subscribing', () => {
  test('to what the broker refuses is refused, and says to what', async () => {
    line.broker.authorizeSubscribe = (_client, subscription, done) => {
      done(null, subscription.topic === 'secret' ? null : subscription);
    };
    const connection = await connect('client');
    await connection.subscribe(['open']);
    const subscribing = connection.subscribe(['open', 'secret']);
    await expect(subscribing).rejects.toMatchObject({ code: 'unreachable' });
    await expect(subscribing).rejects.toThrow(/open, secret/);
  });

  test('ends with unsubscribing', async () => {
    const { heard, connection } = await listener('a');
    await connection.publish('a', 'one');
    await connection.unsubscribe(['a']);
    await connection.unsubscribe([]);
    await connection.publish('a', 'two');
    expect(heard).toEqual([['a', 'one']]);
  });

  test('after the line is cut is refused as unreachable', async () => {
    const connection = await connect('client');
    line.cut();
    await connection.ended;
    await expect(connection.subscribe(['a'])).rejects.toMatchObject({ code: 'unreachable' });
  });
});
