import { describe, expect, test } from 'vitest';
import { alertPolicy } from '../../../agent/runtime/policies/alert.ts';
import {
  INITIAL_IDLE,
  initialSlowdown,
  metProbability,
  nextIdle,
  nextSlowdown,
  normalCdf,
  PUBLISHED,
  TUNED,
} from '../../../agent/runtime/policies/alert-filter.ts';
import { startPolicy } from '../../../agent/runtime/policy.ts';
import { GPU_FAMILY, pointsTaken, times } from '../../support/policy-run.ts';

const published = alertPolicy({ name: 'alert', constants: PUBLISHED, sheds: false });
const tuned = alertPolicy({ name: 'alert-tuned', constants: TUNED, sheds: false });
const shedding = alertPolicy({ name: 'alert-tuned-shedding', constants: TUNED, sheds: true });

describe("ALERT's filters", () => {
  test('the slowdown follows two measurements as worked by hand with the published constants', () => {
    // Q_1 = max(0.1, 0.3 x 0.1 + 0.7 x 0) = 0.1; sigma^2_1 = 0.5 x 0.1 + 0.1 = 0.15; K_1 = 0.15 / 0.151.
    const first = nextSlowdown(initialSlowdown(PUBLISHED), 1.4, PUBLISHED);
    expect(first.noise).toBeCloseTo(0.1, 12);
    expect(first.variance).toBeCloseTo(0.15, 12);
    expect(first.gain).toBeCloseTo(0.993377483, 9);
    expect(first.mean).toBeCloseTo(1 + 0.993377483 * 0.4, 9);
    // Q_2 = max(0.1, 0.03 + 0.7 x (0.993377 x 0.4)^2 = 0.140521...); sigma^2_2 = 0.006622517 x 0.15 + Q_2.
    const second = nextSlowdown(first, 1, PUBLISHED);
    expect(second.noise).toBeCloseTo(0.03 + 0.7 * 0.397350993 ** 2, 8);
    expect(second.variance).toBeCloseTo(0.006622517 * 0.15 + second.noise, 8);
    expect(second.mean).toBeCloseTo(
      1.397350993 - (second.variance / (second.variance + 0.001)) * 0.397350993,
      8,
    );
  });

  test('the idle ratio follows a measurement as worked by hand', () => {
    // W = 0.0101 / 0.0111; M = (1 - W) x 0.0101.
    const { ratio, variance } = nextIdle(INITIAL_IDLE, 0.4);
    expect(ratio).toBeCloseTo(0.4 * 0.90990991, 8);
    expect(variance).toBeCloseTo(0.09009009 * 0.0101, 8);
  });

  test('the normal distribution is that of the tables', () => {
    for (const [z, p] of [
      [0, 0.5],
      [1, 0.841344746],
      [-1.959964, 0.025],
      [3, 0.998650102],
      [-40, 0],
      [40, 1],
    ] as const) {
      expect(normalCdf(z)).toBeCloseTo(p, 6);
    }
  });

  test('the chance to meet a deadline is that of the belief', () => {
    const belief = { ...initialSlowdown(PUBLISHED), mean: 1.2, variance: 0.04 };
    expect(metProbability(belief, 1.4, PUBLISHED)).toBeCloseTo(0.841344746, 6);
    expect(metProbability(belief, 1.4, { ...PUBLISHED, predictionNoise: 0.12 })).toBeCloseTo(0.691462, 5);
  });
});

describe('ALERT', () => {
  test('with the published noise floor takes the fastest of close levels for ever', () => {
    expect(new Set(pointsTaken(published, { slowdowns: times(50, 1) }))).toEqual(new Set([0]));
  });

  test('tuned, it follows a step within three frames, down and up', () => {
    const slowdowns = [...times(40, 1), ...times(40, 1.37), ...times(40, 1)];
    const points = pointsTaken(tuned, { slowdowns });
    expect(points[39]).toBe(4);
    expect(points[43]).toBeLessThanOrEqual(1);
    expect(points.at(-1)).toBe(4);
  });

  test('with an accuracy floor and no energy limit takes the least energy that reaches it', () => {
    const at = (accuracyFloor: number): number | undefined =>
      pointsTaken(tuned, { slowdowns: times(50, 1), requirement: { latencyMs: 100, accuracyFloor } }).at(-1);
    expect([0.7, 0.745, 0.775, 0.79].map(at)).toEqual([0, 1, 3, 5]);
  });

  test('keeps an energy limit, and gives it up before the latency', () => {
    const at = (energyJ: number): number | undefined =>
      pointsTaken(tuned, { slowdowns: times(50, 1), requirement: { latencyMs: 100, energyJ } }).at(-1);
    expect([0.3, 0.42, 0.52, 1].map(at)).toEqual([5, 0, 3, 5]);
    const running = startPolicy(tuned, GPU_FAMILY);
    const impossible = { latencyMs: 66.7, energyJ: 0.01 };
    expect(running.decide({ requirement: impossible, nowMs: 0, arrivedMs: 0 }, GPU_FAMILY)).toMatchObject({
      cause: 'gave-way',
      gaveWay: ['energy'],
    });
  });

  test('an accuracy goal that nothing reaches is given up for the largest expected accuracy', () => {
    const running = startPolicy(tuned, GPU_FAMILY);
    const requirement = { latencyMs: 1_000, accuracyFloor: 0.9 };
    expect(running.decide({ requirement, nowMs: 0, arrivedMs: 0 }, GPU_FAMILY)).toMatchObject({
      point: 5,
      gaveWay: ['accuracy'],
    });
  });

  test('counts idling as learnt from readings of energy', () => {
    const running = startPolicy(tuned, GPU_FAMILY);
    const situation = { requirement: { latencyMs: 100 }, nowMs: 0, arrivedMs: 0 };
    const before = running.decide(situation, GPU_FAMILY).candidates[0];
    expect(before?.energyJ).toBeCloseTo(0.4116, 9);
    const about = { startedMs: 0, nowMs: 41.16, budgetMs: 100, requirement: { latencyMs: 100 } };
    running.observe({ kind: 'inference', point: 0, latencyMs: 41.16, ...about }, GPU_FAMILY);
    // 10 W for 41.16 ms, and 4 W for the other 58.84 ms.
    running.observe({ kind: 'energy', energyJ: 0.4116 + 0.23536, overMs: 100, nowMs: 100 }, GPU_FAMILY);
    const after = running.decide(situation, GPU_FAMILY).candidates[0];
    expect(after?.energyJ).toBeCloseTo(0.4116 + 0.90991 * 0.4 * 10 * 0.05884, 5);
  });

  test('absurd readings of energy change nothing', () => {
    const running = startPolicy(tuned, GPU_FAMILY);
    const situation = { requirement: { latencyMs: 100 }, nowMs: 0, arrivedMs: 0 };
    for (const energyJ of [Number.NaN, -1, Number.POSITIVE_INFINITY]) {
      running.observe({ kind: 'energy', energyJ, overMs: 100, nowMs: 100 }, GPU_FAMILY);
    }
    running.observe({ kind: 'energy', energyJ: 1, overMs: 0, nowMs: 100 }, GPU_FAMILY);
    expect(running.decide(situation, GPU_FAMILY).candidates[0]?.energyJ).toBeCloseTo(0.4116, 9);
  });

  test('sheds only when named so, a frame that has waited, and only when even the fastest would be late', () => {
    const at = (policy: typeof tuned, nowMs: number): number | undefined =>
      startPolicy(policy, GPU_FAMILY).decide(
        { requirement: { latencyMs: 66.7 }, nowMs, arrivedMs: 0 },
        GPU_FAMILY,
      ).point;
    expect(at(shedding, 30)).toBeUndefined();
    expect(at(shedding, 20)).toBe(0);
    expect(at(tuned, 30)).toBe(0);
    const short = { requirement: { latencyMs: 20 }, nowMs: 0, arrivedMs: 0 };
    expect(startPolicy(shedding, GPU_FAMILY).decide(short, GPU_FAMILY).point).toBe(0);
  });
});
