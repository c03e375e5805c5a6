import { connect, type Socket } from 'node:net';
import { gzipSync } from 'node:zlib';
import type { DropReason } from '../../controller/ingest/rejects.ts';
import { systemClock } from '../../shared/clock.ts';
import { MAX_MESSAGE_BYTES, topicOf } from '../../shared/protocol/topics.ts';
import { bodyOf, wireWindow } from '../support/history-records.ts';

const NOISE = { fleet: 'default', device: 'noise' };

interface BadMessage {
  readonly topic: string;
  readonly payload: string | Uint8Array;
  /** What it is to be counted as; undefined: the broker itself does not pass it on. */
  readonly reason: DropReason | undefined;
  /** How often in a thousand. */
  readonly share: number;
}

/** Every kind of message that must not be taken. */
export const BAD_MESSAGES: readonly BadMessage[] = badMessages();

function badMessages(): BadMessage[] {
  const telemetry = topicOf('telemetry', NOISE);
  const good = JSON.stringify(wireWindow({ device: NOISE.device }));
  const sketch = bodyOf().points[0]?.latencyMs?.sketch ?? '';
  return [
    { topic: telemetry, payload: '{"v":1,"device":', reason: 'not-json', share: 180 },
    { topic: telemetry, payload: Buffer.from('1f8b0800deadbeef', 'hex'), reason: 'not-json', share: 180 },
    { topic: telemetry, payload: good.replace('"seq":1', '"seq":-1'), reason: 'not-of-schema', share: 180 },
    {
      topic: telemetry,
      payload: JSON.stringify(wireWindow({ device: 'one' })),
      reason: 'not-of-schema',
      share: 150,
    },
    {
      topic: telemetry,
      payload: good.replace(sketch, sketch.slice(0, -4)),
      reason: 'not-of-schema',
      share: 150,
    },
    { topic: telemetry, payload: good.replace('"v":1', '"v":7'), reason: 'wrong-version', share: 54 },
    { topic: topicOf('event', NOISE), payload: '{"kind":"gap"}', reason: 'not-of-schema', share: 50 },
    { topic: topicOf('status', NOISE), payload: 'online', reason: 'not-json', share: 50 },
    { topic: 'ofa/1/default/d/UP!/t', payload: good, reason: 'unknown-topic', share: 3 },
    { topic: telemetry, payload: gzipSync(Buffer.alloc(4 * 2 ** 20)), reason: 'too-large', share: 2 },
    { topic: telemetry, payload: Buffer.alloc(MAX_MESSAGE_BYTES + 1, 'x'), reason: undefined, share: 1 },
  ];
}

/** How many of a block are to be counted for each reason. */
export function expectedCounts(blocks: number): Record<string, number> {
  const counts: Record<string, number> = {};
  for (const { reason, share } of BAD_MESSAGES) {
    if (reason !== undefined) counts[reason] = (counts[reason] ?? 0) + share * blocks;
  }
  return counts;
}

/** Messages of one block: of all kinds, each by its share. */
export const BLOCK_MESSAGES = BAD_MESSAGES.reduce((sum, { share }) => sum + share, 0);
const BLOCKS_PER_S = 10;
/** A block is written in so many pieces. */
const PIECES = 10;

/** Sends blocks of bad messages, ten of them a second. @returns messages a second that were sent */
export async function sendNoise(port: number, blocks: number): Promise<number> {
  const socket = connect(port, '127.0.0.1');
  const failed = new Promise<never>((_, reject) => socket.once('error', reject));
  try {
    return await Promise.race([send(socket, blocks), failed]);
  } finally {
    socket.destroy();
  }
}

async function send(socket: Socket, blocks: number): Promise<number> {
  // Answers of the broker must not stop its writing.
  socket.resume();
  await write(socket, connectFrame('noise-maker'));
  await systemClock.sleep(200);
  const pieces = piecesOf(BAD_MESSAGES);
  const startedMs = systemClock.monoMs();
  for (let piece = 0; piece < blocks * PIECES; piece += 1) {
    const dueMs = startedMs + (piece * 1_000) / (BLOCKS_PER_S * PIECES);
    await systemClock.sleep(Math.max(0, dueMs - systemClock.monoMs()));
    await write(socket, pieces[piece % PIECES] ?? Buffer.alloc(0));
  }
  return (blocks * BLOCK_MESSAGES * 1_000) / (systemClock.monoMs() - startedMs);
}

/** The frames of a block, mixed, in pieces. */
function piecesOf(messages: readonly BadMessage[]): Buffer[] {
  const frames = messages.flatMap(({ topic, payload, share }) =>
    Array.from({ length: share }, () => publishFrame(topic, Buffer.from(payload))),
  );
  return Array.from({ length: PIECES }, (_, piece) =>
    Buffer.concat(frames.filter((_frame, index) => index % PIECES === piece)),
  );
}

/** Resolves when the socket may take more. */
async function write(socket: Socket, bytes: Uint8Array): Promise<void> {
  await new Promise<void>((resolve, reject) => {
    socket.write(bytes, (error) => (error ? reject(error) : resolve()));
  });
}

/** CONNECT of MQTT 3.1.1 (3.1): clean session, no keepalive. */
function connectFrame(clientId: string): Buffer {
  return frame(0x10, Buffer.concat([text('MQTT'), Buffer.of(4, 2, 0, 0), text(clientId)]));
}

/** PUBLISH of MQTT 3.1.1 (3.3) at QoS 0: nobody waits for anything. */
function publishFrame(topic: string, payload: Uint8Array): Buffer {
  return frame(0x30, Buffer.concat([text(topic), payload]));
}

function frame(type: number, body: Uint8Array): Buffer {
  const head = [type];
  let rest = body.byteLength;
  do {
    head.push((rest % 128) | (rest >= 128 ? 0x80 : 0));
    rest = Math.floor(rest / 128);
  } while (rest > 0);
  return Buffer.concat([Buffer.from(head), body]);
}

function text(value: string): Buffer {
  const length = Buffer.alloc(2);
  length.writeUInt16BE(Buffer.byteLength(value));
  return Buffer.concat([length, Buffer.from(value)]);
}
