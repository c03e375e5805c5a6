import { describe, expect, test } from 'vitest';
import { ofaManager } from '../../../agent/runtime/manager/manager.ts';
import type { Profile } from '../../../agent/runtime/points.ts';
import { missedIn, profileOf, type RunFrame, runManager, switchesIn } from '../../support/manager-run.ts';

const SEEDS = [1, 2, 3];
const BOTH: Profile = [
  ...profileOf(
    [
      [30, 0.74],
      [45, 0.77],
      [60, 0.79],
    ],
    'gpu',
  ),
  ...profileOf(
    [
      [50, 0.74],
      [62, 0.77],
      [120, 0.79],
    ],
    'cpu',
  ),
];
const elementsOf = (frames: readonly RunFrame[]): Set<string | undefined> =>
  new Set(frames.map(({ point }) => BOTH[point ?? -1]?.pe));
const between = (frames: readonly RunFrame[], fromS: number, toS: number): RunFrame[] =>
  frames.filter(({ atMs, point }) => atMs >= fromS * 1_000 && atMs < toS * 1_000 && point !== undefined);

describe('two processing elements', () => {
  test.each(SEEDS)(
    'load on one moves the choice to the other, and back when it is loaded, seed %d',
    (seed) => {
      const load = (atMs: number, { pe }: { pe: string }): number => {
        if (pe === 'gpu') return atMs > 30_000 && atMs < 70_000 ? 3 : 1;
        return atMs > 100_000 ? 1.8 : 1;
      };
      const frames = runManager({ profile: BOTH, frames: 2_000, sigma: 0.03, seed, load });
      expect(elementsOf(between(frames, 5, 30))).toEqual(new Set(['gpu']));
      expect(elementsOf(between(frames, 31, 70))).toContain('cpu');
      expect(between(frames, 31, 70).filter(({ point = 0 }) => point < 3).length).toBeLessThan(12);
      expect(elementsOf(between(frames, 101, 130))).toEqual(new Set(['gpu']));
      expect(missedIn(frames)).toBeLessThan(0.02);
    },
  );

  test.each(SEEDS)(
    'one that was not used for long is tried again, and kept when its load is gone, seed %d',
    (seed) => {
      const load = (atMs: number, { pe }: { pe: string }): number =>
        pe === 'gpu' && atMs > 30_000 && atMs < 60_000 ? 3 : 1;
      const frames = runManager({ profile: BOTH, frames: 2_200, sigma: 0.03, seed, load });
      expect(elementsOf(between(frames, 35, 55))).toContain('cpu');
      expect(elementsOf(between(frames, 115, 145))).toEqual(new Set(['gpu']));
    },
  );

  test('of equal levels do not alternate', () => {
    const equal: Profile = [...profileOf([[40, 0.75]], 'gpu'), ...profileOf([[41, 0.75]], 'cpu')];
    const frames = runManager({ profile: equal, frames: 1_000, sigma: 0.05 });
    expect(switchesIn(frames)).toBeLessThan(20);
  });

  test('one that the profile gains later is used', () => {
    const requirement = { latencyMs: 66.7 };
    const state = ofaManager.initial(BOTH.slice(0, 1));
    const decision = ofaManager.decide(state, { requirement, nowMs: 0, arrivedMs: 0 }, BOTH);
    expect(decision.candidates).toHaveLength(BOTH.length);
    const slow = { latencyMs: 200, startedMs: 0, nowMs: 200, budgetMs: 66.7, requirement };
    const after = ofaManager.observe(state, { kind: 'inference', point: 3, ...slow }, BOTH);
    expect(ofaManager.view(after).current).toBe(3);
  });
});

describe('a profile that is wrong for one level', () => {
  /** Latency of a point without load as the manager believes it, as a multiple of the profile. */
  function believed(wrong: number, level: number, seed: number): number {
    const profile = profileOf([
      [30, 0.7],
      [40, 0.74],
      [50, 0.77],
      [56, 0.79],
    ]);
    const requirement = { latencyMs: 66.7 };
    let state = ofaManager.initial(profile);
    const frames = runManager({
      profile,
      frames: 2_400,
      sigma: 0.03,
      seed,
      // Budgets for each level in turn.
      requirement: (frame) => ({ latencyMs: [36, 48, 60, 66.7][Math.floor(frame / 8) % 4] ?? 66.7 }),
      load: (_, point) => (point.level === level ? wrong : 1),
    });
    for (const { point, latencyMs, atMs } of frames) {
      if (point === undefined) continue;
      const times = { latencyMs, startedMs: atMs, nowMs: atMs + latencyMs, budgetMs: 66.7 };
      state = ofaManager.observe(state, { kind: 'inference', point, ...times, requirement }, profile);
    }
    return (
      Math.exp(state.corrections.logs[level] ?? 0) /
      Math.exp(state.corrections.logs[level === 0 ? 1 : 0] ?? 0)
    );
  }

  test.each([
    [0.9, 2],
    [0.9, 1],
    [1.1, 1],
  ])('by a factor of %d for level %d is learnt', (wrong, level) => {
    const mean = SEEDS.reduce((sum, seed) => sum + believed(wrong, level, seed), 0) / SEEDS.length;
    expect(Math.abs(Math.log(mean / wrong))).toBeLessThan(0.05);
  });

  test('does not spoil a profile that is right', () => {
    for (const seed of SEEDS) expect(Math.abs(Math.log(believed(1, 1, seed)))).toBeLessThan(0.05);
  });
});
