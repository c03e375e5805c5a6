import { expect, test } from 'vitest';
import { EVENT_KINDS, type EventBody, EventSchema } from '../../../shared/protocol/event.ts';
import { WindowSchema } from '../../../shared/protocol/window.ts';
import { parserOf } from '../../../shared/schema.ts';

const parseEvent = parserOf(EventSchema);
const parseWindow = parserOf(WindowSchema);

const FROM = { pe: 'cpu', level: 1 } as const;
const TO = { pe: 'gpu', level: 0 } as const;
const EXPECTED = { cause: 'latency-binds', predictedMs: 12.5, missProbability: 0.03, slowdown: 1.4 };

/** Events as agents wrote them before they said what they had expected. */
const OLD: readonly EventBody[] = [
  { kind: 'boot', version: '0.1.0', previous: { bootId: '0000aaaa-0001', lastSeq: 7 } },
  { kind: 'switch', from: FROM, to: TO, reason: 'fits', unreported: 2 },
  { kind: 'violation', limit: 'latency', state: 'begins', reason: 'load' },
  { kind: 'violation', limit: 'accuracy', state: 'ends', reason: 'load is gone' },
  { kind: 'fault', what: 'camera', reason: 'unplugged' },
  { kind: 'gap', bootId: '0000aaaa-0001', from: 1, to: 4, records: 4, reason: 'full' },
];

const NEW: readonly EventBody[] = [
  { kind: 'switch', from: FROM, to: TO, reason: 'fits', unreported: 0, ...EXPECTED },
  { kind: 'violation', limit: 'temperature', state: 'begins', reason: 'sun', unreported: 1, ...EXPECTED },
  { kind: 'shed', frames: 3, reason: 'burst', timeLeftMs: -2, ...EXPECTED },
  { kind: 'drift', state: 'begins', pe: 'cpu', level: 2, reason: 'agreement fell' },
  { kind: 'quarantine', state: 'begins', pe: 'gpu', level: 3, reason: 'it crashed twice' },
  { kind: 'throttle', state: 'begins', reason: 'cpu at 3 of 7' },
  {
    kind: 'install',
    what: 'family',
    rollout: 'r-1',
    deed: 'install',
    name: 'fashion-mnist',
    version: 3,
    state: 'failed',
    step: 'soaking',
    reason: 'it died three times',
  },
];

test.each([...OLD, ...NEW])('an event of kind $kind is read as it was written: %j', (event) => {
  expect(parseEvent(JSON.parse(JSON.stringify(event)), 'event')).toEqual(event);
});

test('every kind of event is known by name', () => {
  expect([...new Set([...OLD, ...NEW].map(({ kind }) => kind))].sort()).toEqual([...EVENT_KINDS].sort());
});

test.each([
  { kind: 'violation', limit: 'speed', state: 'begins', reason: '' },
  { kind: 'shed', frames: 0, reason: '' },
  { kind: 'shed', frames: 1, reason: 'x'.repeat(2_000) },
  { kind: 'switch', from: FROM, to: TO, reason: '', unreported: 0, missProbability: 1.5 },
  { kind: 'switch', from: FROM, to: TO, reason: '', unreported: 0, predictedMs: null },
  { kind: 'drift', state: 'begins', level: -1, reason: '' },
  { kind: 'quarantine', state: 'begins', level: 1, reason: '' },
])('an event that cannot be is refused: %j', (event) => {
  expect(() => parseEvent(event, 'event')).toThrow();
});

test('a window with and without shed frames and a price', () => {
  const old = {
    durationMs: 10_000,
    family: 'a'.repeat(64),
    points: [],
    switches: 0,
    skipped: 0,
    unreadable: 0,
    failed: 0,
    slowdown: 1,
    requirement: { latencyMs: 20, priority: 'latency' },
  };
  const full = { ...old, sheds: 4, price: 0.02, requirement: { powerW: 7, priority: 'latency,energy' } };
  expect(parseWindow(old, 'window')).toEqual(old);
  expect(parseWindow(full, 'window')).toEqual(full);
  expect(() => parseWindow({ ...full, sheds: -1 }, 'window')).toThrow();
});
