import { describe, expect, test } from 'vitest';
import { dynamicOfa, dynamicOfaRepaired } from '../../../agent/runtime/policies/dynamic-ofa.ts';
import { maxAcc } from '../../../agent/runtime/policies/max-acc.ts';
import { PEERS, POLICIES, policyNames, policyOf } from '../../../agent/runtime/policies/registry.ts';
import { slackFit } from '../../../agent/runtime/policies/slack-fit.ts';
import { staticPolicy } from '../../../agent/runtime/policies/static-level.ts';
import { startPolicy } from '../../../agent/runtime/policy.ts';
import { GPU_FAMILY, pointsTaken, times } from '../../support/policy-run.ts';

const LIMIT = { latencyMs: 66.7 };
/** A frame that began its turn with so much time left. */
const withLeft = (leftMs: number) => ({ requirement: LIMIT, nowMs: 66.7 - leftMs, arrivedMs: 0 });

describe('static', () => {
  test.each([
    ['largest' as const, 5],
    ['smallest' as const, 0],
    [3, 3],
  ])('%s keeps its point through any slowdown', (which, point) => {
    expect(new Set(pointsTaken(staticPolicy(which), { slowdowns: [1, 2, 0.5, 3] }))).toEqual(
      new Set([point]),
    );
  });

  test('takes the next faster point while its own cannot run, and the fastest that can below all', () => {
    const usable = (frame: number): boolean[] =>
      GPU_FAMILY.map((_, point) => (frame === 0 ? point < 2 : point > 4));
    expect(pointsTaken(staticPolicy(3), { slowdowns: [1, 1], usable })).toEqual([1, 5]);
  });

  test('without any usable point nothing is chosen', () => {
    const usable = (): boolean[] => GPU_FAMILY.map(() => false);
    expect(pointsTaken(staticPolicy('largest'), { slowdowns: [1], usable })).toEqual([undefined]);
  });
});

describe("Dynamic-OFA's demonstration", () => {
  test('goes down one level per 20 measured frames, and waits 0.57 s after each switch', () => {
    const points = pointsTaken(dynamicOfa, { slowdowns: times(100, 1.37) });
    // 20 frames to decide; then 0.57 s, that is five frames of 133.4 ms, and 20 more.
    expect(points.indexOf(4)).toBe(20);
    expect(points.indexOf(3)).toBe(20 + 5 + 20);
    expect(points.indexOf(2)).toBe(20 + 2 * 25);
  });

  test('never climbs back when the load has gone', () => {
    const points = pointsTaken(dynamicOfa, { slowdowns: [...times(30, 1.37), ...times(200, 1)] });
    expect(points[21]).toBe(4);
    expect(points.at(-1)).toBe(4);
  });

  test('climbs only from under the accuracy floor, and not straight back to the level that it left', () => {
    const requirement = { ...LIMIT, accuracyFloor: 0.785 };
    const points = pointsTaken(dynamicOfa, { slowdowns: [...times(21, 1.3), ...times(200, 1)], requirement });
    expect(points.at(-1)).toBe(4);
    const lower = [false, false, false, true, false, false];
    const first = {
      slowdowns: times(60, 1),
      requirement,
      usable: (frame: number) => (frame < 1 ? lower : times(6, 1).map(Boolean)),
    };
    expect(pointsTaken(dynamicOfa, first).at(-1)).toBe(5);
  });

  test('repaired, it climbs when the mean would fit, and needs no time for a switch', () => {
    const points = pointsTaken(dynamicOfaRepaired, { slowdowns: [...times(60, 1.37), ...times(80, 1)] });
    expect(points.slice(0, 41).filter((_, frame) => frame % 20 === 0)).toEqual([5, 4, 3]);
    expect(points.at(-1)).toBe(5);
  });
});

describe('policies of slack', () => {
  test.each([
    ['MaxAcc', maxAcc],
    ['SlackFit', slackFit({ slowdown: false })],
    ['SlackFit with slowdown, when there is none', slackFit({ slowdown: true })],
  ])('%s takes the most accurate point that the profile lets end in the time left', (_, policy) => {
    const at = (leftMs: number): number | undefined =>
      policy.decide(policy.initial(GPU_FAMILY) as never, withLeft(leftMs), GPU_FAMILY).point;
    expect([66.7, 61.8, 61, 52, 46, 42, 20].map(at)).toEqual([5, 5, 4, 3, 1, 0, 0]);
  });

  test('MaxAcc and SlackFit trust the profile whatever they measure', () => {
    for (const policy of [slackFit({ slowdown: false }), maxAcc as typeof maxAcc]) {
      const points = pointsTaken(policy as ReturnType<typeof slackFit>, { slowdowns: times(30, 1.5) });
      expect(new Set(points)).toEqual(new Set([5]));
    }
  });

  test('SlackFit with slowdown comes to the point that fits, and back', () => {
    const points = pointsTaken(slackFit({ slowdown: true }), {
      slowdowns: [...times(20, 1.37), ...times(20, 1)],
    });
    expect(points[19]).toBe(1);
    expect(points.at(-1)).toBe(5);
  });

  test('a deadline of the request is above the latency budget', () => {
    const situation = { requirement: LIMIT, nowMs: 0, arrivedMs: 0, deadlineMs: 50 };
    expect(maxAcc.decide({ current: undefined }, situation, GPU_FAMILY).point).toBe(2);
  });
});

describe('the registry', () => {
  test.each(policyNames(PEERS).filter((name) => name !== 'static:N'))(
    '%s starts under its own name',
    (name) => {
      const policy = policyOf(name, PEERS).start(GPU_FAMILY);
      expect(policy.name).toBe(name);
      const decision = policy.decide(withLeft(66.7), GPU_FAMILY);
      expect(decision.candidates.map(({ point }) => point)).toEqual([0, 1, 2, 3, 4, 5]);
      expect(decision.timeLeftMs).toBe(66.7);
      expect(policy.view().price).toBe(0);
    },
  );

  test('static:N is any single point', () => {
    expect(policyOf('static:2').start(GPU_FAMILY).decide(withLeft(66.7), GPU_FAMILY).point).toBe(2);
    expect(() => policyOf('static:6').start(GPU_FAMILY)).toThrow('there are 6 operating points, 0 to 5');
  });

  test('an unknown name is refused with those that are known', () => {
    expect(() => policyOf('alrt')).toThrow(/there is no policy 'alrt', only ofa, .*alert-tuned/);
    expect(() => policyOf('constructor')).toThrow(/there is no policy/);
    expect(() => policyOf('static:')).toThrow(/there is no policy/);
  });

  test.each(Object.keys(POLICIES))(
    '%s never chooses a point that cannot run, whatever is measured',
    (name) => {
      const policy = policyOf(name).start(GPU_FAMILY);
      const usable = GPU_FAMILY.map((_, point) => point === 1 || point === 4);
      for (const [frame, latencyMs] of [50, Number.NaN, 1e9, 0, -5, Number.POSITIVE_INFINITY, 60].entries()) {
        const nowMs = 200 * frame;
        const situation = { requirement: LIMIT, nowMs, arrivedMs: nowMs, usable };
        const { point } = policy.decide(situation, GPU_FAMILY);
        expect([1, 4]).toContain(point);
        const about = { latencyMs, startedMs: nowMs, nowMs: nowMs + 60, budgetMs: 66.7, requirement: LIMIT };
        policy.observe({ kind: 'inference', point: point ?? 1, ...about }, GPU_FAMILY);
        expect(policy.view().slowdown).toBeGreaterThan(0);
      }
    },
  );
});

test('a decision by a single number says so: misses are sure or impossible', () => {
  const running = startPolicy(maxAcc, GPU_FAMILY);
  const { candidates, missProbability, cause, gaveWay } = running.decide(withLeft(50), GPU_FAMILY);
  expect(candidates.map((each) => each.missProbability)).toEqual([0, 0, 0, 1, 1, 1]);
  expect({ missProbability, cause, gaveWay }).toEqual({ missProbability: 0, cause: 'policy', gaveWay: [] });
  expect(running.decide(withLeft(20), GPU_FAMILY)).toMatchObject({ cause: 'gave-way', gaveWay: ['latency'] });
});
