import * as fc from 'fast-check';
import { describe, expect, test } from 'vitest';
import {
  type Decision,
  decide,
  explainDecision,
  initialState,
  type ManagerState,
  type Observation,
  observe,
  type Profile,
} from '../../../agent/runtime/manager.ts';
import type { Requirement } from '../../../shared/protocol/requirement.ts';

const profiles: fc.Arbitrary<Profile> = fc.array(
  fc.record({
    pe: fc.constantFrom('cpu', 'gpu'),
    level: fc.nat({ max: 63 }),
    accuracy: fc.double({ min: 0, max: 1, noNaN: true }),
    latencyMs: fc.double({ min: 0.01, max: 10_000, noNaN: true }),
  }),
  { minLength: 1, maxLength: 12 },
);

const requirements: fc.Arbitrary<Requirement> = fc.record(
  {
    latencyMs: fc.double({ min: 0.01, max: 20_000, noNaN: true }),
    missShare: fc.double({ min: 0, max: 0.99, noNaN: true }),
    accuracyFloor: fc.double({ min: 0, max: 1, noNaN: true }),
    priority: fc.constantFrom('latency', 'accuracy'),
  },
  { requiredKeys: [] },
);

/** Anything that a clock or a division could hand over. */
const anyNumber = fc.oneof(
  fc.double(),
  fc.constantFrom(Number.NaN, Number.POSITIVE_INFINITY, Number.NEGATIVE_INFINITY, 0, -1, 5e-324, 1e308),
);
const anyObservation: fc.Arbitrary<Observation> = fc.record({
  point: fc.oneof(fc.nat({ max: 12 }), fc.constantFrom(-1, Number.NaN)),
  latencyMs: anyNumber,
  profileMs: anyNumber,
  missShare: anyNumber,
  nowMs: anyNumber,
});
const sensibleObservation: fc.Arbitrary<Observation> = fc.record({
  point: fc.nat({ max: 12 }),
  latencyMs: fc.double({ min: 0.1, max: 1_000, noNaN: true }),
  profileMs: fc.double({ min: 0.1, max: 1_000, noNaN: true }),
  missShare: fc.double({ min: 0, max: 0.99, noNaN: true }),
  nowMs: fc.double({ min: 0, max: 1e9, noNaN: true }),
});
const histories = fc.array(fc.oneof(sensibleObservation, anyObservation), { maxLength: 40 });
const stateAfter = (seen: readonly Observation[]): ManagerState => seen.reduce(observe, initialState());

/** What is expected of every level, by the rule that stands in the state's description. */
const predicted = (state: ManagerState, profile: Profile): number[] =>
  profile.map(({ latencyMs }) => latencyMs * (state.slowdown * Math.exp(state.tail)));

const accuracyAt = (profile: Profile, { point }: Decision): number => profile[point]?.accuracy ?? Number.NaN;

describe('whatever is observed', () => {
  test('the point that is chosen exists and nothing is NaN', () => {
    fc.assert(
      fc.property(profiles, requirements, histories, (profile, requirement, seen) => {
        const state = stateAfter(seen);
        for (const value of [state.slowdown, state.ceiling, state.tail]) expect(value).toBeGreaterThan(0);
        expect(state.observedMs).not.toBeNaN();
        const decision = decide(state, requirement, profile);
        expect(profile[decision.point]).toBeDefined();
        expect(decision.predictedMs).toBeGreaterThan(0);
        expect(explainDecision(decision, requirement)).not.toMatch(/NaN|undefined/);
      }),
      { numRuns: 500 },
    );
  });

  test('a level that meets budget and floor is chosen if there is one, and nothing is violated', () => {
    fc.assert(
      fc.property(profiles, requirements, histories, (profile, requirement, seen) => {
        const state = stateAfter(seen);
        const { latencyMs = Number.POSITIVE_INFINITY, accuracyFloor = 0 } = requirement;
        const times = predicted(state, profile);
        const meets = (index: number): boolean =>
          (times[index] ?? Number.NaN) <= latencyMs && (profile[index]?.accuracy ?? -1) >= accuracyFloor;
        const decision = decide(state, requirement, profile);
        const possible = [...profile.keys()].some(meets);
        expect(meets(decision.point)).toBe(possible);
        expect(decision.violated.length === 0).toBe(possible);
      }),
      { numRuns: 500 },
    );
  });

  test('what is violated is what the chosen level does not meet', () => {
    fc.assert(
      fc.property(profiles, requirements, histories, (profile, requirement, seen) => {
        const state = stateAfter(seen);
        const decision = decide(state, requirement, profile);
        const late = decision.predictedMs > (requirement.latencyMs ?? Number.POSITIVE_INFINITY);
        const poor = accuracyAt(profile, decision) < (requirement.accuracyFloor ?? 0);
        expect(decision.violated).toEqual([...(late ? ['latency'] : []), ...(poor ? ['accuracy'] : [])]);
      }),
      { numRuns: 500 },
    );
  });
});

describe('when not everything can be met', () => {
  const profile: Profile = [
    { pe: 'cpu', level: 0, accuracy: 0.7, latencyMs: 10 },
    { pe: 'cpu', level: 1, accuracy: 0.8, latencyMs: 20 },
    { pe: 'cpu', level: 2, accuracy: 0.9, latencyMs: 40 },
  ];
  test.each([
    ['latency is kept and the floor gives way', { latencyMs: 30, accuracyFloor: 0.85 }, 1, ['accuracy']],
    [
      'accuracy is kept and the budget gives way',
      { latencyMs: 30, accuracyFloor: 0.85, priority: 'accuracy' },
      2,
      ['latency'],
    ],
    ['no level is fast enough: the fastest', { latencyMs: 5 }, 0, ['latency']],
    [
      'no level is fast enough, nor the fastest accurate',
      { latencyMs: 5, accuracyFloor: 0.75 },
      0,
      ['latency', 'accuracy'],
    ],
    [
      'accuracy is kept: the fastest of those that are accurate enough',
      { latencyMs: 5, accuracyFloor: 0.75, priority: 'accuracy' },
      1,
      ['latency'],
    ],
    [
      'no level is accurate enough: the most accurate in time',
      { latencyMs: 30, accuracyFloor: 0.95, priority: 'accuracy' },
      1,
      ['accuracy'],
    ],
    ['without a budget the most accurate', {}, 2, []],
  ] as const)('%s', (_, requirement, point, violated) => {
    expect(decide(initialState(), requirement, profile)).toMatchObject({ point, violated });
  });

  test('with priority latency no level is later than need be, with priority accuracy none is poorer', () => {
    fc.assert(
      fc.property(profiles, requirements, (random, requirement) => {
        const decision = decide(initialState(), requirement, random);
        const times = predicted(initialState(), random);
        const { latencyMs = Number.POSITIVE_INFINITY, accuracyFloor = 0 } = requirement;
        if (requirement.priority === 'accuracy') {
          const possible = random.some(({ accuracy }) => accuracy >= accuracyFloor);
          if (possible) expect(accuracyAt(random, decision)).toBeGreaterThanOrEqual(accuracyFloor);
        } else if (times.some((time) => time <= latencyMs)) {
          expect(decision.predictedMs).toBeLessThanOrEqual(latencyMs);
        }
      }),
    );
  });
});

test('a looser budget never gives a less accurate level', () => {
  const budget = fc.double({ min: 0.01, max: 20_000, noNaN: true });
  fc.assert(
    fc.property(profiles, requirements, budget, budget, (profile, requirement, a, b) => {
      const at = (latencyMs: number): number =>
        accuracyAt(profile, decide(initialState(), { ...requirement, latencyMs }, profile));
      expect(at(Math.max(a, b))).toBeGreaterThanOrEqual(at(Math.min(a, b)));
    }),
    { numRuns: 500 },
  );
});

test('a device that is as many times slower, with as many times the budget, makes the same choices', () => {
  const scale = fc.integer({ min: -6, max: 6 }).map((exponent) => 2 ** exponent);
  const seenOf = fc.array(sensibleObservation, { maxLength: 40 });
  fc.assert(
    fc.property(profiles, requirements, seenOf, scale, (profile, requirement, seen, factor) => {
      const scaledProfile = profile.map((point) => ({ ...point, latencyMs: point.latencyMs * factor }));
      const scaledSeen = seen.map((one) => ({
        ...one,
        latencyMs: one.latencyMs * factor,
        profileMs: one.profileMs * factor,
      }));
      const { latencyMs } = requirement;
      const scaled =
        latencyMs === undefined ? requirement : { ...requirement, latencyMs: latencyMs * factor };
      const { point, violated } = decide(stateAfter(seen), requirement, profile);
      expect(decide(stateAfter(scaledSeen), scaled, scaledProfile)).toMatchObject({ point, violated });
    }),
  );
});
