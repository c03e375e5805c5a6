import fc from 'fast-check';
import { expect, test } from 'vitest';
import { formatGate, GATE_KINDS, parseGate } from '../../../controller/rollouts/gates.ts';
import {
  formatAbortRule,
  formatCanary,
  formatRate,
  parseAbortRule,
  parseCanary,
  parseRate,
  stageEnds,
} from '../../../controller/rollouts/grammar.ts';
import { isBeyondDoubt, judge, whyBroken } from '../../../controller/rollouts/judge.ts';
import { createMaintenanceClock, maintenanceOf } from '../../../controller/rollouts/maintenance.ts';
import { FAILURES, GATE_METRICS, OPERATORS } from '../../../controller/store/rollout-store.ts';
import '../../support/properties.ts';

const percent = fc.integer({ min: 0, max: 100_000 }).map((n) => `${n / 1_000}%`);
const gateTexts = fc
  .record({
    metric: fc.constantFrom(...GATE_METRICS),
    op: fc.constantFrom(...OPERATORS),
    share: percent,
    sign: fc.constantFrom('', '+', '-'),
    number: fc.integer({ min: 0, max: 1e6 }),
  })
  .map(({ metric, op, share, sign, number }) => {
    const kind = GATE_KINDS[metric];
    if (kind === 'count') return `${metric}${op}${number}`;
    if (metric === 'agreement') return `${metric} ${op} ${share}`;
    if (kind === 'share' || sign !== '') return `${metric}${op}${sign}${share}`;
    return `${metric}${op}${number / 1_000}${kind === 'time' ? 's' : 'mJ'}`;
  });

test('a gate is written as it is read', () => {
  fc.assert(
    fc.property(gateTexts, (text) => {
      const gate = parseGate(text);
      expect(parseGate(formatGate(gate))).toEqual(gate);
    }),
  );
  expect(formatGate(parseGate(' energy < +10% '))).toBe('energy<+10%');
  expect(formatGate(parseGate('accuracy>=-2%'))).toBe('accuracy>=-2%');
  expect(parseGate('energy<12mJ')).toEqual({
    metric: 'energy',
    op: '<',
    value: 0.012,
    isAgainstBefore: false,
  });
});

test.each([
  ['miss', 'write METRIC OP VALUE'],
  ['speed<1%', "'speed' is not one of miss"],
  ['miss<1', 'in percent'],
  ['miss<101%', 'not between 0 and 100%'],
  ['latency<20', 'has no unit'],
  ['latency<+20ms', 'in percent'],
  ['crashes<1.5', 'not a whole number'],
  ['crashes<+1', 'has no before'],
  ['agreement>-1%', 'has no before'],
])('a gate that makes no sense is refused: %s', (text, why) => {
  expect(() => parseGate(text)).toThrow(why);
});

test('stages, rates and rules are written as they are read', () => {
  for (const text of ['1,10%,100%', '100%', '5,50,33.3%,100%'])
    expect(formatCanary(parseCanary(text))).toBe(text);
  expect(formatCanary(parseCanary('1,10%'))).toBe('1,10%,100%');
  for (const text of ['50/min', '5/s', '200/h', '1/d']) expect(formatRate(parseRate(text))).toBe(text);
  for (const of of FAILURES) {
    for (const rest of ['>=20% min 3', '>5 min 1', '>0 min 1']) {
      expect(formatAbortRule(parseAbortRule(of + rest))).toBe(of + rest);
    }
  }
  for (const text of ['', '0', '10%,5%', '100%,1', '2,1', '1,,2', '0%', '101%']) {
    expect(() => parseCanary(text)).toThrow('--canary');
  }
  for (const text of ['50', '0/min', '5/week', '-1/s']) expect(() => parseRate(text)).toThrow('--rate');
  for (const text of ['failed', 'failed<1', 'miss>1%', 'failed>=0']) {
    expect(() => parseAbortRule(text)).toThrow('--abort');
  }
});

test('every stage has a device more than the one before, and the last has all', () => {
  const sizes = fc.oneof(
    fc.integer({ min: 1, max: 50 }).map((count) => ({ count })),
    fc.integer({ min: 1, max: 100 }).map((n) => ({ share: n / 100 })),
  );
  fc.assert(
    fc.property(
      fc.array(sizes, { minLength: 1, maxLength: 6 }),
      fc.integer({ min: 1, max: 300 }),
      (all, devices) => {
        const ends = stageEnds(all, devices);
        expect(ends.at(-1)).toBe(devices);
        expect(ends.length).toBeLessThanOrEqual(all.length);
        for (const [at, end] of ends.entries()) expect(end).toBeGreaterThan(ends[at - 1] ?? 0);
      },
    ),
  );
  expect(stageEnds(parseCanary('1,10%,100%'), 3)).toEqual([1, 2, 3]);
  expect(stageEnds(parseCanary('1,10%,100%'), 1)).toEqual([1]);
  expect(stageEnds(parseCanary('1,10%,100%'), 1_000)).toEqual([1, 100, 1_000]);
});

test('a gate is judged against its limit, or against before', () => {
  const measured = { now: 0.022, before: 0.02, count: 100, share: 1 };
  expect(judge(parseGate('miss<+1%'), measured)).toMatchObject({ verdict: 'holds', limit: 0.03 });
  expect(judge(parseGate('energy<+5%'), measured)).toMatchObject({ verdict: 'broken' });
  expect(judge(parseGate('energy<=22mJ'), measured)).toMatchObject({ verdict: 'holds' });
  expect(judge(parseGate('miss<1%'), { count: 0, share: 1 })).toEqual({
    verdict: 'unknown',
    why: 'no data of miss',
  });
  expect(judge(parseGate('p99<+5%'), { now: 3, count: 9, share: 1 })).toEqual({
    verdict: 'unknown',
    why: 'no data of p99 before',
  });
  expect(whyBroken(parseGate('latency<+10%'), { now: 62, before: 20, count: 300, share: 1 })).toBe(
    'gate latency<+10% is broken: latency is 62ms (before: 20ms), above the limit of 22ms, of 300 inferences',
  );
});

test('it is broken beyond doubt only if no better rest can mend it', () => {
  const miss = parseGate('miss<1%');
  expect(isBeyondDoubt(miss, { now: 0.03, count: 100, share: 0.1 })).toBe(false);
  expect(isBeyondDoubt(miss, { now: 0.03, count: 100, share: 0.5 })).toBe(true);
  expect(isBeyondDoubt(miss, { now: 1, count: 49, share: 1 })).toBe(false);
  const latency = parseGate('latency<+10%');
  expect(isBeyondDoubt(latency, { now: 60, before: 20, count: 100, share: 0.04 })).toBe(false);
  expect(isBeyondDoubt(latency, { now: 60, before: 20, count: 100, share: 0.06 })).toBe(true);
  const agreement = parseGate('agreement>=90%');
  expect(isBeyondDoubt(agreement, { now: 0.2, count: 64, share: 1 })).toBe(true);
  expect(isBeyondDoubt(agreement, { now: 0.2, count: 64, share: 0.1 })).toBe(false);
  const profile = parseGate('profile<+50%');
  expect(isBeyondDoubt(profile, { now: 3, before: 1, count: 1, share: 1 })).toBe(true);
  expect(isBeyondDoubt(profile, { now: 1.4, before: 1, count: 1, share: 1 })).toBe(false);
  expect(isBeyondDoubt(parseGate('crashes<=1'), { now: 2, count: 1, share: 0 })).toBe(true);
});

test('a maintenance window is open for its length after a time that fits, in its zone', () => {
  const window = maintenanceOf({ cron: '0 2 * * *', zone: 'Europe/Berlin', lengthMs: 2 * 3_600_000 });
  const at = (text: string): number => Date.parse(text);
  const clock = createMaintenanceClock(window);
  expect(clock.isOpen(at('2026-07-01T00:59:00Z'))).toBe(true);
  expect(clock.isOpen(at('2026-07-01T02:00:00Z'))).toBe(false);
  expect(clock.isOpen(at('2026-07-01T23:59:59Z'))).toBe(false);
  expect(clock.isOpen(at('2026-07-02T00:00:00Z'))).toBe(true);
  expect(clock.isOpen(at('2026-07-01T00:30:00Z'))).toBe(true);
  expect(clock.isOpen(at('2026-07-02T12:00:00Z'))).toBe(false);
  expect(() => maintenanceOf({ cron: 'often', lengthMs: 60_000 })).toThrow('five fields');
  expect(() => maintenanceOf({ cron: '0 0 30 2 *', lengthMs: 60_000 })).toThrow('cron expression');
  expect(() => maintenanceOf({ cron: '0 2 * * *', zone: 'No/Where', lengthMs: 60_000 })).toThrow('time zone');
});
