import { describe, expect, test } from 'vitest';
import type { Profile } from '../../../agent/runtime/points.ts';
import type { Observation } from '../../../agent/runtime/policy.ts';
import type { Requirement } from '../../../shared/protocol/requirement.ts';
import { seededRandom } from '../../../shared/random.ts';
import { meanOf, profileOf, type RunFrame, runManager, switchesIn } from '../../support/manager-run.ts';

const PERIOD_MS = 66.7;
const MINUTE = 900;
const IDLE_W = 4;
const PROFILE = profileOf([
  [41.16, 0.74202, 0.41],
  [45.42, 0.74968, 0.47],
  [49.44, 0.76134, 0.53],
  [51.08, 0.7754, 0.6],
  [56.75, 0.78346, 0.75],
  [61.73, 0.7903, 0.9],
]);
const energyOf = (frames: readonly RunFrame[]): number =>
  meanOf(frames, PROFILE, ({ energyJ = 0 }) => energyJ);
const accuracyOf = (frames: readonly RunFrame[]): number =>
  meanOf(frames, PROFILE, ({ accuracy }) => accuracy);

/** The best mean accuracy of a mix of two levels within a mean energy: the optimum of the linear programme. */
function bestMix(profile: Profile, energyJ: number): number {
  let best = 0;
  for (const { energyJ: low = 0, accuracy: worse } of profile) {
    for (const { energyJ: high = 0, accuracy: better } of profile) {
      if (low > energyJ) continue;
      const part = high <= energyJ ? 1 : (energyJ - low) / (high - low);
      best = Math.max(best, part * better + (1 - part) * worse);
    }
  }
  return best;
}

/** A power sensor that is read now and then. */
function powerSensor(
  everyMs: number,
  read: (energyJ: number, atMs: number) => number = (energyJ) => energyJ,
) {
  let usedJ = 0;
  let lastMs = 0;
  return ({ point, atMs }: RunFrame): readonly Observation[] => {
    usedJ += PROFILE[point ?? -1]?.energyJ ?? 0;
    const overMs = atMs - lastMs;
    if (overMs < everyMs) return [];
    const energyJ = read(usedJ + (IDLE_W * overMs) / 1_000, atMs);
    [usedJ, lastMs] = [0, atMs];
    return Number.isNaN(overMs) ? [] : [{ kind: 'energy', energyJ, overMs, nowMs: atMs }];
  };
}

const limited = (
  requirement: Requirement,
  more: Partial<Parameters<typeof runManager>[0]> = {},
): RunFrame[] =>
  runManager({
    profile: PROFILE,
    frames: MINUTE,
    sigma: 0.035,
    requirement: { latencyMs: 90, ...requirement },
    ...more,
  });

describe('an energy budget is met within 3 % over a minute, with errors within 2 % of the best mix', () => {
  test.each([0.43, 0.5, 0.55, 0.65, 0.8])('%d joules per inference', (energyJ) => {
    for (const seed of [1, 2, 3]) {
      const frames = limited({ energyJ }, { seed });
      expect(energyOf(frames) / energyJ).toBeLessThan(1.03);
      expect((1 - accuracyOf(frames)) / (1 - bestMix(PROFILE, energyJ))).toBeLessThan(1.02);
      expect(switchesIn(frames)).toBeLessThanOrEqual(60);
      expect(frames.every(({ decision }) => decision.gaveWay.length === 0)).toBe(true);
    }
  });

  test.each([
    [10.5, 1_000],
    [12, 200],
    [14, 1_000],
    [16, 200],
  ])('%d watts, told every %d ms', (powerW, everyMs) => {
    const random = seededRandom(7);
    const noisy = (energyJ: number): number => energyJ * (1 + 0.02 * random.normal());
    const frames = limited({ powerW }, { sensed: powerSensor(everyMs, noisy) });
    const watts = energyOf(frames) / (PERIOD_MS / 1_000) + IDLE_W;
    expect(watts / powerW).toBeLessThan(1.03);
    const best = bestMix(PROFILE, ((powerW - IDLE_W) * PERIOD_MS) / 1_000);
    expect((1 - accuracyOf(frames)) / (1 - best)).toBeLessThan(1.02);
    expect(switchesIn(frames)).toBeLessThanOrEqual(60);
  });
});

describe('an energy budget that cannot be met', () => {
  test.each([{ energyJ: 0.3 }, { powerW: 9 }])('%j gives way, at the thriftiest level', (requirement) => {
    const frames = limited(requirement, { sensed: powerSensor(500) });
    for (const { point, decision } of frames.slice(600)) {
      expect(point).toBe(0);
      expect(decision).toMatchObject({ gaveWay: ['energy'], cause: 'gave-way' });
    }
  });

  test('with an accuracy floor that comes first gives way to it, and no further', () => {
    const frames = limited({ energyJ: 0.5, accuracyFloor: 0.77 });
    expect(new Set(frames.slice(600).map(({ point }) => point))).toEqual(new Set([3]));
    expect(frames.at(-1)?.decision.gaveWay).toEqual(['energy']);
  });

  test('is forgotten when it is raised', () => {
    const frames = limited(
      {},
      { frames: 1_200, requirement: (frame) => ({ latencyMs: 90, energyJ: frame < 600 ? 0.3 : 2 }) },
    );
    expect(frames[599]?.point).toBe(0);
    expect(frames.slice(750).every(({ point }) => point === 5)).toBe(true);
  });
});

test('a budget that only every other request states is kept by those, and costs the others nothing', () => {
  const frames = limited(
    {},
    { requirement: (frame) => ({ latencyMs: 90, ...(frame % 2 === 0 ? { energyJ: 0.5 } : {}) }) },
  );
  const [stated, free] = [0, 1].map((half) => frames.filter((_, frame) => frame % 2 === half));
  expect(energyOf(stated ?? []) / 0.5).toBeLessThan(1.05);
  expect(accuracyOf((free ?? []).slice(10))).toBeGreaterThan(0.785);
});

test('a power sensor that falls silent does not hold it down for ever', () => {
  const sensor = powerSensor(500);
  const sensed = (frame: RunFrame): readonly Observation[] => (frame.atMs < 30_000 ? sensor(frame) : []);
  const frames = limited({ powerW: 9 }, { frames: 1_500, sensed });
  expect(frames[440]?.point).toBe(0);
  expect(frames.slice(1_000).every(({ point }) => point === 5)).toBe(true);
});

describe('temperature', () => {
  /** First order: warms towards 30 degrees and 3 for each watt. */
  function plant(
    tauMs: number,
    resolution: number,
    read: (tempC: number, atMs: number) => number = (c) => c,
  ) {
    let tempC = 45;
    let lastMs = 0;
    const seen: number[] = [];
    const sensed = ({ point, atMs }: RunFrame): readonly Observation[] => {
      const watts = IDLE_W + (PROFILE[point ?? -1]?.energyJ ?? 0) / (PERIOD_MS / 1_000);
      tempC += (30 + 3 * watts - tempC) * (PERIOD_MS / tauMs);
      seen.push(tempC);
      if (atMs - lastMs < 1_000) return [];
      lastMs = atMs;
      const told = read(Math.round(tempC / resolution) * resolution, atMs);
      return [{ kind: 'temperature', tempC: told, nowMs: atMs }];
    };
    return { seen, sensed };
  }

  test.each([
    [70, 40_000, 0.5],
    [66, 15_000, 1],
    [75, 100_000, 0.1],
  ])('is kept under %d degrees by a device that warms in %d ms', (tempC, tauMs, resolution) => {
    const { seen, sensed } = plant(tauMs, resolution);
    const frames = limited({ tempC }, { frames: 6 * MINUTE, sensed });
    expect(Math.max(...seen)).toBeLessThan(tempC);
    // And it uses what it has: not far below, and better than the thriftiest.
    expect(Math.max(...seen.slice(-MINUTE))).toBeGreaterThan(tempC - 5);
    expect(accuracyOf(frames.slice(-2 * MINUTE))).toBeGreaterThan(0.75);
    expect(switchesIn(frames) / 6).toBeLessThan(60);
  });

  test('that cannot be kept gives way, at the thriftiest level', () => {
    const { sensed } = plant(20_000, 0.1);
    const frames = limited({ tempC: 50 }, { frames: 3 * MINUTE, sensed });
    expect(frames.at(-1)?.point).toBe(0);
    expect(frames.at(-1)?.decision.gaveWay).toEqual(['temperature']);
  });

  test.each([
    ['silent', () => Number.NaN, 90],
    ['frozen', () => 72, 200],
  ])('told by a sensor that is %s does not hold it down for ever', (_, read, untilS) => {
    const fault = (tempC: number, atMs: number): number => (atMs < 60_000 ? Math.max(72, tempC) : read());
    const { sensed } = plant(40_000, 0.1, fault);
    const frames = limited({ tempC: 70 }, { frames: 4 * MINUTE, sensed });
    expect(frames[MINUTE]?.point).toBe(0);
    const later = frames.filter(({ atMs }) => atMs > untilS * 1_000);
    expect(accuracyOf(later)).toBeGreaterThan(0.785);
  });
});
