import * as fc from 'fast-check';
import { describe, expect, test } from 'vitest';
import { ofaManager } from '../../../agent/runtime/manager/manager.ts';
import type { ManagerState } from '../../../agent/runtime/manager/state.ts';
import type { Profile } from '../../../agent/runtime/points.ts';
import type { Decision, Observation, Situation } from '../../../agent/runtime/policy.ts';
import { LIMITS, type Limit, orderOfLimits, type Requirement } from '../../../shared/protocol/requirement.ts';
import { GPU_PROFILE, profileOf } from '../../support/manager-run.ts';

const share = fc.double({ min: 0, max: 1, noNaN: true });
const positive = (max: number) => fc.double({ min: 1e-3, max, noNaN: true });

const profiles: fc.Arbitrary<Profile> = fc.array(
  fc.record(
    {
      pe: fc.constantFrom('cpu' as const, 'gpu' as const),
      level: fc.nat({ max: 63 }),
      accuracy: share,
      latencyMs: positive(10_000),
      energyJ: positive(1_000),
    },
    { requiredKeys: ['pe', 'level', 'accuracy', 'latencyMs'] },
  ),
  { minLength: 1, maxLength: 14 },
);

const priorities = fc.shuffledSubarray([...LIMITS], { minLength: 1 }).map((limits) => limits.join(','));

const requirements: fc.Arbitrary<Requirement> = fc.record(
  {
    latencyMs: positive(20_000),
    missShare: fc.double({ min: 0, max: 0.99, noNaN: true }),
    accuracyFloor: share,
    powerW: positive(100),
    energyJ: positive(1_000),
    tempC: fc.double({ min: 0, max: 150, noNaN: true }),
    price: fc.double({ min: 0, max: 1_000_000, noNaN: true }),
    priority: priorities,
  },
  { requiredKeys: [] },
);

/** Anything that a clock, a sensor or a division could hand over. */
const anyNumber = fc.oneof(
  fc.double(),
  fc.double({ min: -100, max: 1_000, noNaN: true }),
  fc.constantFrom(
    Number.NaN,
    Number.POSITIVE_INFINITY,
    Number.NEGATIVE_INFINITY,
    0,
    -1,
    5e-324,
    1e308,
    -1e308,
  ),
);
const observations = (numbers: fc.Arbitrary<number>, points: fc.Arbitrary<number>) =>
  fc.oneof(
    {
      weight: 6,
      arbitrary: fc.record({
        kind: fc.constant('inference' as const),
        point: points,
        latencyMs: numbers,
        startedMs: numbers,
        nowMs: numbers,
        budgetMs: fc.option(numbers, { nil: undefined }),
        requirement: requirements,
      }),
    },
    {
      weight: 1,
      arbitrary: fc.record({
        kind: fc.constant('energy' as const),
        energyJ: numbers,
        overMs: numbers,
        nowMs: numbers,
      }),
    },
    {
      weight: 1,
      arbitrary: fc.record({ kind: fc.constant('temperature' as const), tempC: numbers, nowMs: numbers }),
    },
  );
const histories: fc.Arbitrary<Observation[]> = fc.array(
  fc.oneof(
    observations(positive(1_000), fc.nat({ max: 13 })),
    observations(anyNumber, fc.oneof(fc.nat({ max: 20 }), fc.constantFrom(-1, Number.NaN, 0.5))),
  ),
  { maxLength: 40 },
);
const situations: fc.Arbitrary<Situation> = fc.record(
  {
    requirement: requirements,
    nowMs: fc.oneof(positive(2_000), anyNumber),
    arrivedMs: fc.oneof(positive(2_000), anyNumber),
    deadlineMs: fc.oneof(positive(1_000), fc.constantFrom(0, -5, 1e308)),
    usable: fc.array(fc.boolean(), { minLength: 14, maxLength: 14 }),
  },
  { requiredKeys: ['requirement', 'nowMs', 'arrivedMs'] },
);

const learn = (profile: Profile, seen: readonly Observation[]): ManagerState =>
  seen.reduce((state, one) => ofaManager.observe(state, one, profile), ofaManager.initial(profile));

const isUsable = ({ usable }: Situation, point: number): boolean =>
  usable === undefined || usable[point] === true;

/** Every number inside, wherever it is. */
function numbersIn(value: unknown): number[] {
  if (typeof value === 'number') return [value];
  if (value instanceof Float64Array) return [...value];
  if (value instanceof Map) return [...value.values()].flatMap(numbersIn);
  return typeof value === 'object' && value !== null ? Object.values(value).flatMap(numbersIn) : [];
}

function freezeDeeply<T>(value: T): T {
  if (value instanceof Map) for (const one of value.values()) freezeDeeply(one);
  else if (typeof value === 'object' && value !== null && !ArrayBuffer.isView(value)) {
    for (const one of Object.values(value)) freezeDeeply(one);
    Object.freeze(value);
  }
  return value;
}

describe('whatever is observed and asked', () => {
  const all = fc.tuple(profiles, histories, situations);

  test('a point that exists and can run is chosen, or the frame is shed', () => {
    fc.assert(
      fc.property(all, ([profile, seen, situation]) => {
        const { point } = ofaManager.decide(learn(profile, seen), situation, profile);
        if (point === undefined) return;
        expect(profile[point]).toBeDefined();
        expect(isUsable(situation, point)).toBe(true);
      }),
      { numRuns: 500 },
    );
  });

  test('nothing is NaN, and probabilities are between 0 and 1', () => {
    fc.assert(
      fc.property(all, ([profile, seen, situation]) => {
        const state = learn(profile, seen);
        const decision = ofaManager.decide(state, situation, profile);
        for (const number of numbersIn([decision, ofaManager.view(state)])) expect(number).not.toBeNaN();
        for (const { missProbability, predictedMs } of [decision, ...decision.candidates]) {
          expect(missProbability).toBeGreaterThanOrEqual(0);
          expect(missProbability).toBeLessThanOrEqual(1);
          expect(predictedMs).toBeGreaterThan(0);
        }
      }),
      { numRuns: 500 },
    );
  });

  test('the state is not changed, and the same is decided again', () => {
    fc.assert(
      fc.property(all, ([profile, seen, situation]) => {
        const learnt = () =>
          seen.reduce(
            (state, one) => ofaManager.observe(freezeDeeply(state), one, profile),
            ofaManager.initial(profile),
          );
        const state = freezeDeeply(learnt());
        const before = structuredClone(state);
        const decision = ofaManager.decide(state, situation, profile);
        expect(ofaManager.decide(state, situation, profile)).toEqual(decision);
        expect(ofaManager.decide(learnt(), situation, profile)).toEqual(decision);
        expect(state).toEqual(before);
      }),
    );
  });

  test('a frame with its whole slot is never shed while a point can run', () => {
    fc.assert(
      fc.property(all, ([profile, seen, situation]) => {
        const whole = { ...situation, arrivedMs: situation.nowMs };
        const { point } = ofaManager.decide(learn(profile, seen), whole, profile);
        expect(point !== undefined).toBe(profile.some((_, index) => isUsable(whole, index)));
      }),
      { numRuns: 300 },
    );
  });

  test('every candidate is listed once, with what keeps it out', () => {
    fc.assert(
      fc.property(all, ([profile, seen, situation]) => {
        const { candidates } = ofaManager.decide(learn(profile, seen), situation, profile);
        expect(candidates.map(({ point }) => point)).toEqual([...profile.keys()]);
        for (const { point, excludedBy } of candidates) {
          expect(excludedBy === 'unusable').toBe(!isUsable(situation, point));
        }
      }),
    );
  });

  test('sensible latencies are learnt again after any of it', () => {
    fc.assert(
      fc.property(histories, (seen) => {
        const requirement = { latencyMs: 66.7, missShare: 0.05 };
        let state = learn(GPU_PROFILE, seen);
        for (let frame = 0; frame < 1_000; frame += 1) {
          const startedMs = 1e6 + frame * 66.7;
          const times = { startedMs, nowMs: startedMs + 41, budgetMs: 66.7 };
          const one = { kind: 'inference' as const, point: 0, latencyMs: 41.16, ...times, requirement };
          state = ofaManager.observe(state, one, GPU_PROFILE);
        }
        const nowMs = 1e6 + 66_700;
        const { candidates } = ofaManager.decide(
          state,
          { requirement, nowMs, arrivedMs: nowMs },
          GPU_PROFILE,
        );
        expect(ofaManager.view(state).slowdown).toBeCloseTo(1, 0);
        expect(candidates[0]?.missProbability).toBeLessThan(0.05);
      }),
      { numRuns: 60 },
    );
  });
});

/** Limits that a candidate is outside of, by the rules that requirements state. */
function brokenBy(decision: Decision, profile: Profile, requirement: Requirement, point: number): Limit[] {
  const late = (decision.candidates[point]?.missProbability ?? 1) > (requirement.missShare ?? 0.05);
  const poor = (profile[point]?.accuracy ?? 0) < (requirement.accuracyFloor ?? 0);
  return [...(late ? (['latency'] as const) : []), ...(poor ? (['accuracy'] as const) : [])];
}

describe('limits', () => {
  const askedAtOnce = fc.tuple(profiles, requirements).map(([profile, requirement]) => ({
    profile,
    requirement: { missShare: 0.05, ...requirement, price: 0 },
  }));
  const decideFresh = (profile: Profile, requirement: Requirement): Decision =>
    ofaManager.decide(ofaManager.initial(profile), { requirement, nowMs: 0, arrivedMs: 0 }, profile);

  test('are all kept when a point meets all of them, and none gives way', () => {
    fc.assert(
      fc.property(askedAtOnce, ({ profile, requirement }) => {
        fc.pre(requirement.missShare > 0.001);
        const decision = decideFresh(profile, requirement);
        const meets = (point: number): boolean =>
          brokenBy(decision, profile, requirement, point).length === 0;
        fc.pre([...profile.keys()].some(meets));
        expect(meets(decision.point ?? -1)).toBe(true);
        expect(decision.gaveWay).toEqual([]);
      }),
      { numRuns: 300 },
    );
  });

  test('give way in the order of their priority, and exactly those that have to', () => {
    fc.assert(
      fc.property(askedAtOnce, ({ profile, requirement }) => {
        fc.pre(requirement.missShare > 0.001);
        const decision = decideFresh(profile, requirement);
        let left = [...profile.keys()];
        const gaveWay: Limit[] = [];
        for (const limit of orderOfLimits(requirement.priority)) {
          const meets = left.filter(
            (point) => !brokenBy(decision, profile, requirement, point).includes(limit),
          );
          if (meets.length > 0) left = meets;
          else {
            gaveWay.push(limit);
            // Of those that are all too poor only the best are left for the limits of lower priority.
            const best = Math.max(...left.map((point) => profile[point]?.accuracy ?? 0));
            if (limit === 'accuracy') left = left.filter((point) => (profile[point]?.accuracy ?? 0) >= best);
          }
        }
        const isHopeless = decision.candidates.every(({ missProbability }) => missProbability > 0.5);
        fc.pre(!isHopeless);
        expect(decision.gaveWay).toEqual(gaveWay);
        expect(decision.cause === 'gave-way').toBe(gaveWay.length > 0);
        expect(left).toContain(decision.point);
      }),
      { numRuns: 500 },
    );
  });

  const three = profileOf([
    [10, 0.7],
    [20, 0.8],
    [40, 0.9],
  ]);
  test.each([
    ['latency is kept before accuracy', { latencyMs: 30, accuracyFloor: 0.85 }, 1, ['accuracy'], 'gave-way'],
    [
      'or after it, if so asked',
      { latencyMs: 30, accuracyFloor: 0.85, priority: 'accuracy' },
      2,
      ['latency'],
      'gave-way',
    ],
    ['nothing is fast enough: the fastest', { latencyMs: 5 }, 0, ['latency'], 'gave-way'],
    [
      'nothing is accurate enough: the best in time',
      { latencyMs: 30, accuracyFloor: 0.95, priority: 'latency' },
      1,
      ['accuracy'],
      'gave-way',
    ],
    ['without a budget the most accurate', {}, 2, [], 'best'],
    ['a budget keeps better ones out', { latencyMs: 30 }, 1, [], 'latency-binds'],
    ['a price is nothing where no energy is known', { price: 15 }, 2, [], 'best'],
    ['a share of 0 is the least that can be told', { latencyMs: 200, missShare: 0 }, 2, [], 'best'],
  ] as const)('%s', (_, requirement, point, gaveWay, cause) => {
    expect(decideFresh(three, requirement)).toMatchObject({ point, gaveWay, cause });
  });

  test('a deadline of the request overrides the budget, either way', () => {
    const requirement = { latencyMs: 30 };
    const at = (deadlineMs: number): Decision =>
      ofaManager.decide(
        ofaManager.initial(three),
        { requirement, nowMs: 0, arrivedMs: 0, deadlineMs },
        three,
      );
    expect([at(15).point, at(100).point]).toEqual([0, 2]);
    expect(at(15).timeLeftMs).toBe(15);
  });

  test('time that a frame has waited is taken from its budget', () => {
    const situation = { requirement: { latencyMs: 60 }, nowMs: 130, arrivedMs: 100 };
    expect(ofaManager.decide(ofaManager.initial(three), situation, three)).toMatchObject({
      point: 1,
      timeLeftMs: 30,
    });
  });

  test('a frame that has waited too long is shed, and says so', () => {
    const situation = { requirement: { latencyMs: 60 }, nowMs: 157, arrivedMs: 100 };
    expect(ofaManager.decide(ofaManager.initial(three), situation, three)).toMatchObject({
      point: undefined,
      cause: 'too-late',
      gaveWay: ['latency'],
    });
  });

  test('a looser budget never gives a less accurate point', () => {
    fc.assert(
      fc.property(
        profiles,
        requirements,
        positive(20_000),
        positive(20_000),
        (profile, requirement, a, b) => {
          const at = (latencyMs: number): number =>
            profile[
              decideFresh(profile, { ...requirement, price: 0, accuracyFloor: 0, latencyMs }).point ?? -1
            ]?.accuracy ?? -1;
          const [tight, loose] = [Math.min(a, b), Math.max(a, b)];
          const decision = decideFresh(profile, { ...requirement, latencyMs: tight });
          fc.pre(!decision.gaveWay.includes('latency'));
          expect(at(loose)).toBeGreaterThanOrEqual(at(tight));
        },
      ),
    );
  });

  test('the higher the price, the less energy is chosen', () => {
    const priced = profileOf([
      [10, 0.7, 0.1],
      [20, 0.76, 0.3],
      [30, 0.78, 0.6],
      [40, 0.79, 1],
    ]);
    fc.assert(
      fc.property(positive(2), positive(2), (a, b) => {
        const energyAt = (price: number): number =>
          priced[decideFresh(priced, { price }).point ?? -1]?.energyJ ?? -1;
        expect(energyAt(Math.max(a, b))).toBeLessThanOrEqual(energyAt(Math.min(a, b)));
      }),
    );
    expect(decideFresh(priced, { price: 1e-6 }).point).toBe(3);
    expect(decideFresh(priced, { price: 10 })).toMatchObject({ point: 0, cause: 'price-binds', gaveWay: [] });
    const unknown = priced.map(({ pe, level, accuracy, latencyMs, energyJ = 0 }) => ({
      ...{ pe, level, accuracy, latencyMs },
      ...(level === 2 ? {} : { energyJ }),
    }));
    expect(decideFresh(unknown, { price: 100 }).point).toBe(0);
  });
});
