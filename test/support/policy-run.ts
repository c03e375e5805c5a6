import type { Profile } from '../../agent/runtime/points.ts';
import { type Policy, startPolicy } from '../../agent/runtime/policy.ts';
import type { Requirement } from '../../shared/protocol/requirement.ts';

/** The GPU family of Dynamic-OFA's publication. */
export const GPU_FAMILY: Profile = [
  { pe: 'gpu', level: 0, accuracy: 0.74202, latencyMs: 41.16, energyJ: 0.4116 },
  { pe: 'gpu', level: 1, accuracy: 0.74968, latencyMs: 45.42, energyJ: 0.4542 },
  { pe: 'gpu', level: 2, accuracy: 0.76134, latencyMs: 49.44, energyJ: 0.4944 },
  { pe: 'gpu', level: 3, accuracy: 0.7754, latencyMs: 51.08, energyJ: 0.5108 },
  { pe: 'gpu', level: 4, accuracy: 0.78346, latencyMs: 56.75, energyJ: 0.5675 },
  { pe: 'gpu', level: 5, accuracy: 0.7903, latencyMs: 61.73, energyJ: 0.6173 },
];

const PERIOD_MS = 66.7;

export interface PolicyRun {
  readonly slowdowns: readonly number[];
  readonly requirement?: Requirement;
  readonly profile?: Profile;
  readonly usable?: (frame: number) => readonly boolean[];
}

/** The points that a policy takes when each frame finds the machine idle and so many times slower than profiled. */
export function pointsTaken<S>(policy: Policy<S>, run: PolicyRun): (number | undefined)[] {
  const { slowdowns, requirement = { latencyMs: PERIOD_MS }, profile = GPU_FAMILY, usable } = run;
  const running = startPolicy(policy, profile);
  return slowdowns.map((slowdown, frame) => {
    const nowMs = 2 * PERIOD_MS * frame;
    const may = usable === undefined ? {} : { usable: usable(frame) };
    const { point } = running.decide({ requirement, nowMs, arrivedMs: nowMs, ...may }, profile);
    if (point === undefined) return undefined;
    const latencyMs = slowdown * (profile[point]?.latencyMs ?? 0);
    const times = { startedMs: nowMs, nowMs: nowMs + latencyMs, latencyMs };
    const seen = {
      kind: 'inference',
      point,
      budgetMs: requirement.latencyMs,
      requirement,
      ...times,
    } as const;
    running.observe(seen, profile);
    return point;
  });
}

/** A list of `count` times the same number. */
export function times(count: number, value: number): number[] {
  return Array.from({ length: count }, () => value);
}
