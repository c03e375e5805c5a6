import fc from 'fast-check';
import { describe, expect, test } from 'vitest';
import type { Profile } from '../../../agent/runtime/points.ts';
import { POLICIES } from '../../../agent/runtime/policies/registry.ts';
import { generatedCourse } from '../../../agent/simulate/course.ts';
import { goodputOf } from '../../../agent/simulate/metrics.ts';
import { planQueue } from '../../../agent/simulate/queue-oracle.ts';
import { DEFAULT_LUCK, generateTrace, SCENARIOS } from '../../../agent/simulate/scenarios.ts';
import { type Course, simulate, simulatedNames } from '../../../agent/simulate/simulate.ts';
import { profileOf, type Trace } from '../../../agent/simulate/trace.ts';
import { seededRandom } from '../../../shared/random.ts';
import { GPU_FAMILY, times } from '../../support/policy-run.ts';

const REQUIREMENT = { missShare: 0.02 };

/** Frames that arrive like a gamma process of shape 1/2 (CV^2 = 2), over a machine that jumps about. */
const anyTrace = fc
  .record({
    frames: fc.integer({ min: 1, max: 60 }),
    seed: fc.nat(),
    levels: fc.array(
      fc.record({ accuracy: fc.integer({ min: 1, max: 100 }), ms: fc.integer({ min: 1, max: 60 }) }),
      {
        minLength: 1,
        maxLength: 5,
      },
    ),
    deadlineMs: fc.integer({ min: 5, max: 150 }),
    bursty: fc.boolean(),
  })
  .map(({ frames, seed, levels, deadlineMs, bursty }): Trace => {
    const random = seededRandom(seed);
    let [atMs, slowdown] = [0, 1];
    const arrivalMs = Array.from({ length: frames }, () => {
      atMs += bursty ? 30 * random.normal() ** 2 : 30;
      return atMs;
    });
    const latencyMs = arrivalMs.map(() => {
      if (random.below(10) === 0) slowdown = 0.5 + random.below(20) / 10;
      return levels.map(({ ms }) => ms * slowdown * Math.exp(0.1 * random.normal()));
    });
    const described = levels.map(({ accuracy, ms }) => ({ accuracy: accuracy / 100, latencyMs: ms }));
    return { periodMs: 30, deadlineMs, levels: described, latencyMs, arrivalMs };
  });

function courseOf(trace: Trace): Course {
  return { trace, profile: profileOf(trace), requirement: REQUIREMENT };
}

const RUNNABLE = [...Object.keys(POLICIES), 'oracle', 'static-best'];

test('no policy delivers more than the oracle of the queue, whatever comes', () => {
  fc.assert(
    fc.property(anyTrace, (trace) => {
      const course = courseOf(trace);
      const plan = planQueue(trace, { profile: course.profile, budgetMs: trace.deadlineMs });
      expect(plan.exact).toBe(true);
      expect(goodputOf(simulate('oracle-queue', course))).toBeCloseTo(plan.goodput, 9);
      for (const name of RUNNABLE) {
        expect(goodputOf(simulate(name, course))).toBeLessThanOrEqual(plan.goodput + 1e-9);
      }
    }),
    { numRuns: 60 },
  );
}, 20_000);

test('every policy answers or sheds every frame once, in order, one at a time', () => {
  fc.assert(
    fc.property(anyTrace, fc.constantFrom(...RUNNABLE, 'oracle-queue'), (trace, name) => {
      const outcomes = simulate(name, courseOf(trace));
      expect(outcomes.map(({ frame }) => frame)).toEqual([...trace.latencyMs.keys()]);
      for (const [index, { startedMs, endedMs, arrivedMs, met, point }] of outcomes.entries()) {
        expect(startedMs).toBeGreaterThanOrEqual(Math.max(arrivedMs, outcomes[index - 1]?.endedMs ?? 0));
        expect(endedMs).toBeGreaterThanOrEqual(startedMs);
        if (met) expect(point).toBeDefined();
        expect(met && endedMs - arrivedMs > trace.deadlineMs).toBe(false);
      }
    }),
  );
});

test('the plan for a queue is the best of all, tried out one by one', () => {
  const small = anyTrace.filter(({ latencyMs, levels }) => latencyMs.length <= 6 && levels.length <= 2);
  fc.assert(
    fc.property(small, (trace) => {
      const { profile } = courseOf(trace);
      const best = (frame: number, freeMs: number): number => {
        const arrivedMs = trace.arrivalMs?.[frame];
        if (arrivedMs === undefined) return 0;
        const ways = profile.map(({ accuracy }, point) => {
          const endMs = Math.max(arrivedMs, freeMs) + (trace.latencyMs[frame]?.[point] ?? 0);
          return (endMs - arrivedMs <= trace.deadlineMs ? accuracy : 0) + best(frame + 1, endMs);
        });
        return Math.max(best(frame + 1, freeMs), ...ways);
      };
      const plan = planQueue(trace, { profile, budgetMs: trace.deadlineMs });
      expect(plan.goodput * trace.latencyMs.length).toBeCloseTo(best(0, 0), 9);
    }),
    { numRuns: 50 },
  );
});

test('a plan of more stands than are kept says that it is not exact, and is not better than any', () => {
  const random = seededRandom(3);
  const latencyMs = Array.from({ length: 120 }, () =>
    times(12, 0).map((_, level) => 1 + level + random.below(1_000) / 997),
  );
  const levels = times(12, 0).map((_, level) => ({
    accuracy: 0.5 + Math.sqrt(level) / 10,
    latencyMs: 1.5 + level,
  }));
  const trace = { periodMs: 4, deadlineMs: 400, levels, latencyMs };
  const course = courseOf(trace);
  const plan = planQueue(trace, { profile: course.profile, budgetMs: 400 });
  expect(plan.exact).toBe(false);
  for (const name of ['ofa', 'oracle', 'maxacc']) {
    expect(goodputOf(simulate(name, course))).toBeLessThanOrEqual(plan.goodput);
  }
});

describe('generated courses', () => {
  test('the same seed gives the same run, another one another', () => {
    const run = (seed: number) =>
      simulate(
        'ofa',
        generatedCourse({
          profile: GPU_FAMILY,
          requirement: REQUIREMENT,
          scenario: 'burst',
          seed,
          frames: 200,
        }),
      );
    expect(run(7)).toEqual(run(7));
    expect(run(7)).not.toEqual(run(8));
  });

  test('a family of other speeds meets the same disturbances, frame by frame', () => {
    const fast: Profile = GPU_FAMILY.map((point) => ({ ...point, latencyMs: point.latencyMs / 50 }));
    const of = (profile: Profile) =>
      generatedCourse({ profile, requirement: REQUIREMENT, scenario: 'burst', seed: 1 });
    expect(of(fast).generated?.scenario).toEqual(of(GPU_FAMILY).generated?.scenario);
    expect(of(fast).trace.periodMs * 50).toBeCloseTo(66.7, 9);
  });

  test('oracles of the disturbance are between the per-frame oracle and nothing', () => {
    for (const scenario of ['step', 'burst'] as const) {
      const course = generatedCourse({ profile: GPU_FAMILY, requirement: REQUIREMENT, scenario, seed: 2 });
      const goodput = (name: string): number => goodputOf(simulate(name, course));
      expect(goodput('oracle')).toBeGreaterThan(goodput('oracle-disturbance'));
      expect(goodput('oracle-disturbance')).toBeGreaterThan(goodput('oracle-one-late'));
      expect(goodput('oracle-one-late')).toBeGreaterThan(goodput('static-largest'));
    }
  });

  test('without luck the one-late oracle is late by one frame', () => {
    const quiet = { ...DEFAULT_LUCK, sigma: 0, spikeBegins: 0 };
    const generated = generateTrace({
      profile: GPU_FAMILY,
      slowdown: SCENARIOS.step,
      seed: 1,
      frames: 310,
      periodMs: 66.7,
      deadlineMs: 66.7,
      luck: quiet,
    });
    const course = { trace: generated.trace, profile: GPU_FAMILY, requirement: REQUIREMENT, generated };
    const missed = (name: string) =>
      simulate(name, course)
        .filter(({ met }) => !met)
        .map(({ frame }) => frame);
    expect(missed('oracle')).toEqual([]);
    expect(missed('oracle-disturbance')).toEqual([]);
    // The first frame of the step at 20 s, and the one that has to wait for it.
    expect(missed('oracle-one-late')[0]).toBe(300);
    expect(missed('oracle-one-late').length).toBeLessThanOrEqual(2);
  });
});

describe('names', () => {
  test('all of them run, and an unknown one is refused with the list', () => {
    const course = generatedCourse({
      profile: GPU_FAMILY,
      requirement: REQUIREMENT,
      scenario: 'quiet',
      seed: 1,
      frames: 30,
    });
    for (const name of simulatedNames().filter((each) => each !== 'static:N')) {
      expect(simulate(name, course)).toHaveLength(30);
    }
    expect(() => simulate('nothing', course)).toThrow(/no policy 'nothing', only ofa, .*oracle-queue/);
  });

  test('an oracle of the disturbance needs a generated trace', () => {
    const { trace, profile } = generatedCourse({
      profile: GPU_FAMILY,
      requirement: REQUIREMENT,
      scenario: 'quiet',
      seed: 1,
    });
    expect(() => simulate('oracle-one-late', { trace, profile, requirement: REQUIREMENT })).toThrow(
      '--scenario',
    );
  });
});

test('a queue before policies that never shed keeps one overload from lasting for ever', () => {
  const course = generatedCourse({
    profile: GPU_FAMILY,
    requirement: REQUIREMENT,
    scenario: 'step',
    seed: 1,
  });
  const missed = simulate('static-largest', course).filter(({ met }) => !met);
  expect(missed.length / 900).toBeGreaterThan(0.32);
  expect(missed.length / 900).toBeLessThan(0.38);
});

test('with both processing elements, a disturbance of one of them moves ours to the other', () => {
  const cpu: Profile = [
    [0.725, 33],
    [0.763, 45],
    [0.771, 58],
  ].map(([accuracy = 0, latencyMs = 0], level) => ({ pe: 'cpu', level, accuracy, latencyMs }));
  const profile = [...GPU_FAMILY, ...cpu];
  const both = generatedCourse({ profile: GPU_FAMILY, requirement: REQUIREMENT, scenario: 'quiet', seed: 4 });
  const random = seededRandom(9);
  const latencyMs = both.trace.latencyMs.map((gpu, frame) => {
    const disturbed = frame >= 300 && frame < 600 ? 2.5 : 1;
    const lucky = Math.exp(0.035 * random.normal());
    return [...gpu.map((ms) => ms * disturbed), ...cpu.map((point) => point.latencyMs * lucky)];
  });
  const trace = { ...both.trace, latencyMs, levels: profile.map(({ level: _, ...point }) => point) };
  const outcomes = simulate('ofa', { trace, profile, requirement: REQUIREMENT });
  const within = outcomes.slice(310, 600);
  expect(
    within.filter(({ point = 0 }) => profile[point]?.pe === 'cpu').length / within.length,
  ).toBeGreaterThan(0.9);
  expect(within.filter(({ met }) => met).length / within.length).toBeGreaterThan(0.9);
});
