import { once } from 'node:events';
import { connect } from 'node:net';
import { expect, test } from 'vitest';
import { startBroker } from '../../../controller/broker/broker.ts';
import { connectMqtt } from '../../../shared/mqtt.ts';
import { eventually, silentLog } from '../../support/controller.ts';

function client(url: string, clientId: string, change: { will?: { topic: string; payload: string } } = {}) {
  const heard: string[] = [];
  const connection = connectMqtt({
    url,
    clientId,
    keepaliveS: 30,
    connectTimeoutMs: 5_000,
    publishTimeoutMs: 5_000,
    onMessage: (topic, payload) => {
      heard.push(`${topic} ${Buffer.from(payload).toString().slice(0, 20)}`);
    },
    ...change,
  });
  return connection.then((open) => ({ ...open, heard }));
}

test('a message over the limit is dropped and its sender stays connected', async () => {
  await using broker = await startBroker({ host: '127.0.0.1', port: 0, log: silentLog });
  await using sender = await client(broker.url, 'sender');
  await using reader = await client(broker.url, 'reader');
  await reader.subscribe(['#']);
  await sender.publish('a', 'x'.repeat(200_000), { retain: true });
  await sender.publish('a', 'small');
  await eventually(() => expect(reader.heard).toEqual(['a small']));
  expect(broker.counters.droppedMessages).toBe(1);
});

test('a packet beyond all measure ends its own connection before it is there', async () => {
  await using broker = await startBroker({ host: '127.0.0.1', port: 0, log: silentLog });
  await using other = await client(broker.url, 'other');
  const socket = connect(broker.port, '127.0.0.1');
  socket.on('error', () => undefined);
  // PUBLISH with a remaining length of 268,435,455 bytes.
  socket.write(Buffer.from([0x30, 0xff, 0xff, 0xff, 0x7f]));
  await once(socket, 'close');
  expect(broker.counters.endedConnections).toBe(1);
  await other.publish('a', 'still here');
});

test('what is published is handed over within the process too, once, and only what is asked for', async () => {
  await using broker = await startBroker({ host: '127.0.0.1', port: 0, log: silentLog });
  await using sender = await client(broker.url, 'sender');
  const heard: string[] = [];
  await broker.listen(['a/+/t', 'a/+/event'], (topic, payload) =>
    heard.push(`${topic} ${Buffer.from(payload).toString()}`),
  );
  for (const topic of ['a/1/t', 'a/2/event', 'a/1/other', 'a/1/t/ack']) await sender.publish(topic, 'text');
  await sender.publish('a/3/t', 'x'.repeat(200_000));
  await sender.publish('a/4/t', 'last');
  await eventually(() => expect(heard).toContain('a/4/t last'));
  expect(heard).toEqual(['a/1/t text', 'a/2/event text', 'a/4/t last']);
});

test('topics of the broker itself cannot be written', async () => {
  await using broker = await startBroker({ host: '127.0.0.1', port: 0, log: silentLog });
  await using sender = await client(broker.url, 'sender');
  await expect(sender.publish('$SYS/x', 'y')).rejects.toMatchObject({ code: 'unreachable' });
});

test('a will is published when its connection breaks', async () => {
  await using broker = await startBroker({ host: '127.0.0.1', port: 0, log: silentLog });
  await using reader = await client(broker.url, 'reader');
  await reader.subscribe(['last/#']);
  await using _first = await client(broker.url, 'twin', { will: { topic: 'last/words', payload: 'gone' } });
  await using _second = await client(broker.url, 'twin');
  await eventually(() => expect(reader.heard).toEqual(['last/words gone']));
});

test('a port in use is a conflict that names it', async () => {
  await using broker = await startBroker({ host: '127.0.0.1', port: 0, log: silentLog });
  const second = startBroker({ host: '127.0.0.1', port: broker.port, log: silentLog });
  await expect(second).rejects.toThrow(`port ${broker.port} on 127.0.0.1 is already in use`);
});

test('bytes that are no MQTT end only the connection that they came on', async () => {
  await using broker = await startBroker({ host: '127.0.0.1', port: 0, log: silentLog });
  await using other = await client(broker.url, 'other');
  for (const bytes of [
    [0x00, 0x00],
    [0xff, 0x05, 1, 2, 3, 4, 5],
    [0x30, 0x02, 0, 9],
    [0x10, 0x02, 0, 0],
  ]) {
    const socket = connect(broker.port, '127.0.0.1');
    socket.on('error', () => undefined);
    socket.write(Buffer.from(bytes));
    await once(socket, 'close');
  }
  await other.publish('a', 'still here');
});
