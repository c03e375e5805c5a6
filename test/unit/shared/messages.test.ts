import { createHash } from 'node:crypto';
import { gzipSync } from 'node:zlib';
import fc from 'fast-check';
import { describe, expect, test } from 'vitest';
import { EVENT_KINDS, EventSchema } from '../../../shared/protocol/event.ts';
import {
  type Decoded,
  decodeMessage,
  decodePayload,
  encodeMessage,
  MESSAGES,
  packMessage,
  packText,
} from '../../../shared/protocol/messages.ts';
import { MAX_MESSAGE_BYTES, type TopicKind, topicOf } from '../../../shared/protocol/topics.ts';
import { toWire, type WireWindowEnvelope } from '../../../shared/protocol/window-wire.ts';
import { distributionOf } from '../../support/windows.ts';

const PARAMETERS = {
  fleet: 'lab',
  group: 'g',
  device: 'd1',
  id: '0123abcd',
  sha256: 'ab'.repeat(32),
  n: '7',
};
const KINDS = Object.keys(MESSAGES) as TopicKind[];
const T = topicOf('telemetry', PARAMETERS);
const STATUS = topicOf('status', PARAMETERS);
/** It can be read, and not be written again. */
const NESTED = `${'['.repeat(50_000)}${']'.repeat(50_000)}`;

function bytesOf(value: unknown): Uint8Array {
  return new TextEncoder().encode(typeof value === 'string' ? value : JSON.stringify(value));
}

function decode(kind: TopicKind, value: unknown): Decoded {
  return decodeMessage(topicOf(kind, PARAMETERS), bytesOf(value));
}

/** Latencies of ten seconds at 20 frames a second, spread as they are. */
const LATENCIES = distributionOf(Array.from({ length: 200 }, (_, index) => 10 + 5 * Math.sin(index)));

function windowOf(seq: number): WireWindowEnvelope {
  const body = toWire({
    durationMs: 10_000,
    family: 'a'.repeat(64),
    points: [
      {
        pe: 'cpu' as const,
        level: 1,
        inferences: 200,
        misses: 2,
        labelled: 200,
        correct: 175,
        latencyMs: LATENCIES,
      },
    ],
    switches: 1,
    skipped: 0,
    unreadable: 0,
    failed: 0,
    slowdown: 1.02,
    requirement: { latencyMs: 2 },
  });
  const bootId = '0b7f3a52-aaaa-4bbb-8ccc-0123456789ab';
  return { v: 1, device: 'd1', bootId, seq, ts: 1_700_000_000_000, monoMs: 10_000, clock: 'synced', body };
}

describe('what is sent is what arrives', () => {
  test('one window, a batch, and either of them compressed', () => {
    for (const payload of [windowOf(1), [windowOf(1), windowOf(2)]]) {
      const text = encodeMessage('telemetry', payload);
      const expected = { ok: true, kind: 'telemetry', parameters: { fleet: 'lab', device: 'd1' }, payload };
      expect(decodeMessage(T, bytesOf(text))).toEqual(expected);
      expect(decodeMessage(T, gzipSync(text))).toEqual(expected);
    }
  });

  test('telemetry that is long is compressed on its way, and nothing else is', () => {
    const batch = Array.from({ length: 10 }, (_, index) => windowOf(index + 1));
    const packed = packMessage('telemetry', batch);
    expect(packed.length).toBeLessThan(encodeMessage('telemetry', batch).length / 2);
    expect(decodeMessage(T, Buffer.from(packed))).toMatchObject({ ok: true, payload: batch });
    expect(packMessage('telemetry', windowOf(1))).toBe(encodeMessage('telemetry', windowOf(1)));
    const ack = { bootId: '0123abcd', ranges: batch.map(({ seq }): [number, number] => [seq, seq + 1e9]) };
    expect(packMessage('ack', { ...ack, ranges: Array(9).fill(ack.ranges).flat() })).toBeTypeOf('string');
  });

  test('telemetry that compression would make longer stays as it is', () => {
    const digestOf = (index: number) =>
      createHash('sha512').update(String(index)).digest().toString('latin1');
    const noise = Array.from({ length: 20 }, (_, index) => digestOf(index)).join('');
    expect(packText('telemetry', noise)).toBe(noise);
  });

  test('a command with the id that its topic names', () => {
    const payload = { v: 1 as const, kind: 'ping', expiresAt: 5 };
    const decoded = decode('command', encodeMessage('command', payload));
    expect(decoded).toEqual({
      ok: true,
      kind: 'command',
      parameters: { fleet: 'lab', device: 'd1', id: '0123abcd' },
      payload,
    });
  });

  test('a key that is not known is kept and does no harm', () => {
    const decoded = decode('status', {
      state: 'online',
      session: 's',
      bootId: '0123abcd',
      ts: 1,
      later: true,
    });
    expect(decoded).toMatchObject({ ok: true });
  });
});

describe('what does not fit is dropped, with the reason', () => {
  test.each([
    ['unknown-topic', 'ofa/1/lab/nothing', '{}'],
    ['too-large', T, ' '.repeat(MAX_MESSAGE_BYTES + 1)],
    ['not-json', T, '{"v":1'],
    ['not-json', T, ''],
    ['wrong-version', T, { ...windowOf(1), v: 2 }],
    ['wrong-version', T, [{ ...windowOf(1), v: 2 }]],
    ['not-of-schema', T, []],
    ['not-of-schema', T, null],
    ['not-of-schema', T, { ...windowOf(1), seq: 1.5 }],
    ['not-of-schema', T, { ...windowOf(1), bootId: '../../etc' }],
    ['not-of-schema', T, { ...windowOf(1), seq: 2 ** 53 }],
    ['not-of-schema', T, { ...windowOf(1), body: { ...windowOf(1).body, s: 1e19 } }],
    ['not-of-schema', T, JSON.stringify(windowOf(1)).replace('{', `{"later":${NESTED},`)],
    ['not-of-schema', STATUS, { state: 'offline', session: 's', bootId: '0123abcd', ts: 1e300 }],
  ])('%s on %s', (reason, topic, payload) => {
    expect(decodeMessage(topic, bytesOf(payload))).toMatchObject({ ok: false, reason });
  });

  test('bytes that are not UTF-8, without harm to the next message', () => {
    for (const bytes of [Uint8Array.of(0x22, 0xff, 0x22), Uint8Array.of(0x22, 0xe2, 0x82)]) {
      expect(decodeMessage(T, bytes)).toMatchObject({ ok: false, reason: 'not-json' });
    }
    expect(decode('telemetry', windowOf(1))).toMatchObject({ ok: true });
  });

  test('a payload of a kind that is known, in the same way', () => {
    expect(decodePayload('telemetry', bytesOf(windowOf(1)))).toEqual({ ok: true, payload: windowOf(1) });
    expect(decodePayload('event', bytesOf(windowOf(1)))).toMatchObject({ reason: 'not-of-schema' });
    const tooLong = new Uint8Array(MAX_MESSAGE_BYTES + 1);
    expect(decodePayload('event', tooLong)).toMatchObject({ reason: 'too-large' });
  });

  test('a compressed message that grows without bound, without unpacking it', () => {
    const bomb = gzipSync(Buffer.alloc(64 * 1024 * 1024, ' '));
    expect(bomb.byteLength).toBeLessThan(MAX_MESSAGE_BYTES);
    const before = process.memoryUsage.rss();
    expect(decodeMessage(T, bomb)).toMatchObject({ ok: false, reason: 'too-large' });
    expect(process.memoryUsage.rss() - before).toBeLessThan(32 * 1024 * 1024);
  });

  test('compression where none is allowed, and compression that is broken', () => {
    const packed = gzipSync(JSON.stringify({ v: 1, kind: 'ping', expiresAt: 5 }));
    expect(decodeMessage(topicOf('command', PARAMETERS), packed)).toMatchObject({ reason: 'not-json' });
    expect(decodeMessage(T, gzipSync(JSON.stringify(windowOf(1))).subarray(0, 40))).toMatchObject({
      reason: 'not-json',
    });
  });

  test('the reason names the place that is wrong, and never repeats a whole message', () => {
    const decoded = decode('telemetry', { ...windowOf(1), device: 'X'.repeat(10_000) });
    expect(decoded).toMatchObject({ ok: false });
    expect(JSON.stringify(decoded).length).toBeLessThan(500);
  });
});

test('every event has its place in the schema', () => {
  const throttle = { ...windowOf(1), body: { kind: 'throttle', state: 'begins', reason: 'too hot' } };
  expect(decode('event', throttle)).toMatchObject({ ok: true });
  expect(EVENT_KINDS).toEqual(EventSchema.anyOf.map(({ properties }) => properties.kind.const));
});

describe('decoding never throws', () => {
  const kinds = fc.constantFrom(...KINDS);

  test('whatever the bytes and the topic are', () => {
    const topics = fc.oneof(
      fc.string(),
      kinds.filter((kind) => kind !== 'chunk').map((kind) => topicOf(kind, PARAMETERS)),
    );
    fc.assert(
      fc.property(topics, fc.uint8Array({ maxLength: 200 }), (topic, bytes) => {
        expect(decodeMessage(topic, bytes).ok).toBe(false);
      }),
    );
  });

  test('whatever the JSON is', () => {
    fc.assert(
      fc.property(kinds, fc.jsonValue(), (kind, value) => {
        decode(kind, value);
      }),
    );
  });

  test('however one value of a right message is changed', () => {
    const keys = fc.constantFrom(...Object.keys(windowOf(1)), '__proto__', 'constructor');
    fc.assert(
      fc.property(keys, fc.jsonValue(), (key, value) => {
        const decoded = decode('telemetry', {
          ...windowOf(1),
          ...JSON.parse(JSON.stringify({ [key]: value })),
        });
        expect(typeof decoded.ok).toBe('boolean');
      }),
    );
  });
});
