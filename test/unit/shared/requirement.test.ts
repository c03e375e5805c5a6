import fc from 'fast-check';
import { describe, expect, test } from 'vitest';
import {
  LIMITS,
  orderOfLimits,
  REQUIREMENT_FIELDS,
  RequirementSchema,
} from '../../../shared/protocol/requirement.ts';
import { REQUIREMENT_FIELD_NAMES, refusalOf } from '../../../shared/protocol/requirement-rules.ts';
import { parserOf } from '../../../shared/schema.ts';

const PARSERS = Object.fromEntries(
  Object.entries(REQUIREMENT_FIELDS).map(([field, schema]) => [field, parserOf(schema)]),
);

function schemaTakes(field: string, value: unknown): boolean {
  try {
    PARSERS[field]?.(value, field);
    return true;
  } catch {
    return false;
  }
}

const limits = fc.array(fc.constantFrom(...LIMITS, 'speed', ''), { maxLength: 6 });

describe('an impossible value is refused', () => {
  const fields = fc.constantFrom(...REQUIREMENT_FIELD_NAMES);
  const values = fc.oneof(
    fc.double(),
    fc.integer(),
    fc.constantFrom(0, 1, -0, 150, 100_000, 600_000, 1_000_000, Number.NaN, Number.POSITIVE_INFINITY),
    fc.jsonValue(),
    limits.map((words) => words.join(',')),
  );

  test('in words exactly where the schema refuses it', () => {
    fc.assert(
      fc.property(fields, values, (field, value) => {
        expect(refusalOf(field, value) === undefined).toBe(schemaTakes(field, value));
      }),
      { numRuns: 2_000 },
    );
  });

  test.each([
    ['latencyMs', Number.NaN, 'latencyMs: NaN is not a number above 0 and at most 600000'],
    ['powerW', -1, 'powerW: -1 is not a number above 0 and at most 100000'],
    ['missShare', 1, 'missShare: 1 is not a number at least 0 and below 1'],
    ['tempC', '80', 'tempC: 80 is not a number at least 0 and at most 150'],
    ['priority', 5, 'priority: 5 is not text'],
    ['priority', 'a,b', "priority: 'a' is not a limit; name temperature, latency, accuracy, energy"],
    ['priority', 'energy,latency,energy', "priority: 'energy,latency,energy' names energy twice"],
  ] as const)('%s %j, with what was expected and found', (field, value, message) => {
    expect(refusalOf(field, value)).toContain(message);
  });

  test('with a short message, however long or strange the value is', () => {
    for (const value of ['x'.repeat(100_000), { a: 'x'.repeat(100_000) }, undefined, null]) {
      for (const field of REQUIREMENT_FIELD_NAMES) {
        expect(refusalOf(field, value)?.length).toBeLessThan(300);
      }
    }
  });
});

test('the order of limits begins with those that a priority names, and holds each limit once', () => {
  expect(orderOfLimits(undefined)).toEqual(LIMITS);
  expect(orderOfLimits('accuracy')).toEqual(['accuracy', 'temperature', 'latency', 'energy']);
  fc.assert(
    fc.property(fc.shuffledSubarray([...LIMITS], { minLength: 1 }), (named) => {
      const order = orderOfLimits(named.join(','));
      expect(order.slice(0, named.length)).toEqual(named);
      expect([...order].sort()).toEqual([...LIMITS].sort());
    }),
  );
});

test('a requirement as older agents and controllers state it is one still', () => {
  const parse = parserOf(RequirementSchema);
  for (const priority of ['latency', 'accuracy']) {
    const old = { latencyMs: 20, missShare: 0.05, accuracyFloor: 0.7, priority };
    expect(parse(old, 'requirement')).toEqual(old);
  }
});
