import { expect, test } from 'vitest';
import { endsOfDrift } from '../../../agent/operation/drift-events.ts';
import { EventSchema } from '../../../shared/protocol/event.ts';
import { parserOf } from '../../../shared/schema.ts';

test('a family that leaves takes its drift with it, and says nothing where there was none', () => {
  const reason = 'another family serves';
  const drift = { kind: 'drift', state: 'ends' };
  expect(endsOfDrift(undefined, undefined)).toEqual([]);
  const told = endsOfDrift({ level: 2 }, { point: { pe: 'gpu', level: 1 }, reason: 'it is slow' });
  expect(told).toEqual([
    { ...drift, level: 2, reason },
    { ...drift, pe: 'gpu', level: 1, reason },
  ]);
  expect(endsOfDrift(undefined, { point: undefined, reason: 'all of it' })).toEqual([
    { ...drift, level: 0, reason },
  ]);
  for (const event of told) parserOf(EventSchema)(event, 'event');
});
