import fc from 'fast-check';
import { describe, expect, test } from 'vitest';
import { parseTopic, TOPIC_TEMPLATES, type TopicKind, topicOf } from '../../../shared/protocol/topics.ts';

const id = fc.stringMatching(/^[a-z0-9][a-z0-9-]{0,62}$/);
const KINDS = Object.keys(TOPIC_TEMPLATES) as TopicKind[];

describe('every topic as it stands on the wire', () => {
  const sha256 = 'ab'.repeat(32);
  const parameters = { fleet: 'f', group: 'g', device: 'd1', id: 'c-1', sha256, n: '7' };
  test.each([
    ['controllerStatus', 'ofa/1/f/_ctl/status'],
    ['fleetDesired', 'ofa/1/f/budget'],
    ['groupDesired', 'ofa/1/f/groups/g/desired'],
    ['status', 'ofa/1/f/d/d1/status'],
    ['desired', 'ofa/1/f/d/d1/desired'],
    ['reported', 'ofa/1/f/d/d1/reported'],
    ['telemetry', 'ofa/1/f/d/d1/t'],
    ['ack', 'ofa/1/f/d/d1/t/ack'],
    ['event', 'ofa/1/f/d/d1/event'],
    ['command', 'ofa/1/f/d/d1/cmd/c-1'],
    ['commandResult', 'ofa/1/f/d/d1/cmd/c-1/result'],
    ['keyring', 'ofa/1/f/keyring'],
    ['want', 'ofa/1/f/d/d1/want'],
    ['chunk', `ofa/1/f/blob/${'ab'.repeat(32)}/chunk/7`],
  ] as const)('%s: %s', (kind, topic) => {
    expect(topicOf(kind, parameters)).toBe(topic);
  });
});

test('what is built is read back as it was', () => {
  const sha256 = fc.stringMatching(/^[0-9a-f]{64}$/);
  const n = fc.nat(32_767).map(String);
  const parameters = fc.record({ fleet: id, group: id, device: id, id, sha256, n });
  fc.assert(
    fc.property(fc.constantFrom(...KINDS), parameters, (kind, values) => {
      const parsed = parseTopic(topicOf(kind, values));
      expect(parsed?.kind).toBe(kind);
      expect(values).toMatchObject(parsed?.parameters ?? { none: '' });
    }),
  );
});

test('a plus sign makes a subscription filter, which is no topic', () => {
  const filter = topicOf('status', { fleet: 'f', device: '+' });
  expect(filter).toBe('ofa/1/f/d/+/status');
  expect(parseTopic(filter)).toBeUndefined();
});

test.each([
  'ofa/2/f/budget',
  'ofa/1/f',
  'ofa/1//budget',
  'ofa/1/f/budget/',
  '/ofa/1/f/budget',
  'ofa/1/F/budget',
  'ofa/1/-f/budget',
  `ofa/1/${'f'.repeat(64)}/budget`,
  'ofa/1/f/d/#/status',
  'ofa/1/f/d/{device}/status',
  'ofa/1/f/d/d1\n/status',
  `ofa/1/f/blob/${'a'.repeat(63)}/chunk/0`,
  `ofa/1/f/blob/${'A'.repeat(64)}/chunk/0`,
  `ofa/1/f/blob/${'a'.repeat(64)}/chunk/00`,
  `ofa/1/f/blob/${'a'.repeat(64)}/chunk/-1`,
  `ofa/1/f/blob/${'a'.repeat(64)}/chunk/32768`,
  '$SYS/broker',
  '',
])('%j is not one of our topics', (topic) => {
  expect(parseTopic(topic)).toBeUndefined();
});

test('no topic at all makes the parser throw', () => {
  const level = fc.oneof(
    fc.constantFrom('ofa', '1', 'd', 't', 'cmd', '__proto__', 'constructor'),
    fc.string(),
  );
  fc.assert(
    fc.property(fc.array(level, { maxLength: 9 }), (levels) => {
      parseTopic(levels.join('/'));
    }),
  );
});
