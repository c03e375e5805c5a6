import fc from 'fast-check';
import { expect, test } from 'vitest';
import { lasting, spellsAfter } from '../../../controller/alerts/spells.ts';
import type { EventRow } from '../../../controller/api/schemas.ts';
import type { Spells } from '../../../controller/store/alert-store.ts';
import { eventAt } from '../../support/alerts.ts';

const violation = (ts: number, state: 'begins' | 'ends') =>
  eventAt(ts, { kind: 'violation', limit: 'latency', state, reason: `at ${ts}` });
const boot = (ts: number) => eventAt(ts, { kind: 'boot', version: '1.0.0' });

function after(events: readonly EventRow[], known: ReadonlyMap<string, Spells> = new Map()): Spells {
  return spellsAfter(known, events).get('cam-1') ?? known.get('cam-1') ?? {};
}

test('what begins lasts until it ends, and each limit and level by itself', () => {
  const spells = after([
    violation(10, 'begins'),
    eventAt(11, { kind: 'violation', limit: 'accuracy', state: 'begins', reason: 'too little' }),
    eventAt(12, { kind: 'drift', state: 'begins', pe: 'gpu', level: 3, reason: 'slow' }),
    eventAt(13, { kind: 'throttle', state: 'begins', reason: 'hot' }),
    violation(14, 'ends'),
  ]);
  expect(lasting(spells, 'violation').map(({ of }) => of)).toEqual(['accuracy']);
  expect(lasting(spells, 'drift').map(({ of }) => of)).toEqual(['gpu/3']);
  expect(lasting(spells, 'throttle')).toHaveLength(1);
});

test('it lasts since it began, however often that is said', () => {
  const [first] = lasting(after([violation(10, 'begins'), violation(20, 'begins')]), 'violation');
  expect(first?.spell).toMatchObject({ ts: 20, sinceTs: 10 });
});

test('a boot ends what began before it, also when it arrives late', () => {
  expect(lasting(after([violation(10, 'begins'), boot(20)]), 'violation')).toEqual([]);
  expect(lasting(after([boot(20), violation(10, 'begins')]), 'violation')).toEqual([]);
  expect(lasting(after([violation(30, 'begins'), boot(20)]), 'violation')).toHaveLength(1);
});

test('other events change nothing', () => {
  expect(spellsAfter(new Map(), [eventAt(1, { kind: 'fault', what: 'x', reason: 'y' })]).size).toBe(0);
});

test('of one limit the newest event counts, in whatever order and parts events arrive', () => {
  const history = fc.uniqueArray(
    fc.record({ ts: fc.integer({ min: 1, max: 1_000 }), begins: fc.boolean() }),
    {
      selector: ({ ts }) => ts,
      minLength: 1,
      maxLength: 12,
    },
  );
  const shuffled = history.chain((all) =>
    fc.record({
      all: fc.constant(all),
      order: fc.shuffledSubarray(all, { minLength: all.length }),
      cut: fc.nat({ max: all.length }),
    }),
  );
  fc.assert(
    fc.property(shuffled, ({ all, order, cut }) => {
      const events = order.map(({ ts, begins }) => violation(ts, begins ? 'begins' : 'ends'));
      const first = new Map([['cam-1', after(events.slice(0, cut))]]);
      const newest = all.reduce((a, b) => (b.ts > a.ts ? b : a));
      expect(lasting(after(events.slice(cut), first), 'violation').length > 0).toBe(newest.begins);
    }),
  );
});

test('a device that makes up levels takes no more memory than others', () => {
  const events = Array.from({ length: 1_000 }, (_, level) =>
    eventAt(level, { kind: 'drift', state: 'begins', level, reason: 'x'.repeat(1_000) }),
  );
  const spells = after(events);
  expect(Object.keys(spells).length).toBeLessThanOrEqual(64);
  expect(JSON.stringify(spells).length).toBeLessThan(32_768);
});
