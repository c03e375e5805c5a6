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

test('a connection has a thousand filters at most; one that it leaves makes room for another', async () => {
  await using broker = await startBroker({ host: '127.0.0.1', port: 0, log: silentLog });
  await using reader = await client(broker.url, 'reader');
  await reader.subscribe(Array.from({ length: 1_000 }, (_, index) => `a/${index}`));
  await expect(reader.subscribe(['b'])).rejects.toMatchObject({ code: 'unreachable' });
  await reader.unsubscribe(['a/7']);
  await reader.subscribe(['b', 'a/8']);
  await reader.publish('b', 'here');
  await eventually(() => expect(reader.heard).toEqual(['b here']));
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

/** A packet of MQTT 3.1.1 with a body of less than 16 KiB. */
function mqttPacket(type: number, ...parts: Uint8Array[]): Buffer {
  const body = Buffer.concat(parts);
  return Buffer.concat([Buffer.from([type, 0x80 | (body.length & 0x7f), body.length >> 7]), body]);
}

function mqttText(text: string): Buffer {
  return Buffer.concat([Buffer.from([0, text.length]), Buffer.from(text)]);
}

test('what many say right before they go is heard, and who says goodbye leaves no will', async () => {
  await using broker = await startBroker({ host: '127.0.0.1', port: 0, log: silentLog });
  const heard: string[] = [];
  await broker.listen(['last/#'], (topic) => heard.push(topic));
  const senders = Array.from({ length: 40 }, async (_, index) => {
    const socket = connect(broker.port, '127.0.0.1');
    const flags = Buffer.from([4, 0b110, 0, 60]);
    const texts = [`sender-${index}`, 'last/will', 'gone'].map(mqttText);
    socket.write(mqttPacket(0x10, mqttText('MQTT'), flags, ...texts));
    await once(socket, 'data');
    return socket;
  });
  const sockets = await Promise.all(senders);
  const goodbye = [mqttPacket(0x30, mqttText('last/words'), Buffer.alloc(15_000)), Buffer.from([0xe0, 0])];
  for (const socket of sockets) socket.end(Buffer.concat(goodbye));
  await Promise.all(sockets.map((socket) => once(socket, 'close')));
  await eventually(() => expect(heard).toHaveLength(40));
  expect(new Set(heard)).toEqual(new Set(['last/words']));
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
