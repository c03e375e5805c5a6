import type { Policy } from '../policy.ts';
import { type Choice, mostAccurate, pointDecision, usableLadder } from './situation.ts';

/** Which point a static policy keeps: an index into the profile, the most accurate, or the fastest. */
export type StaticPoint = number | 'largest' | 'smallest';

export interface StaticState {
  /** Index of the point that was run last. */
  readonly current: number | undefined;
}

/**
 * Always the same operating point, whatever happens: what a system without a manager does. Where that point
 * cannot run now, the next faster one that can.
 */
export function staticPolicy(which: StaticPoint): Policy<StaticState> {
  return {
    name: typeof which === 'number' ? `static:${which}` : `static-${which}`,
    initial: () => ({ current: undefined }),
    decide: (_, situation, profile) => {
      const ladder = usableLadder(profile, situation.usable);
      const wanted = typeof which === 'number' ? profile[which] : undefined;
      const point =
        typeof which === 'number' ? atMost(ladder, wanted?.latencyMs, which) : extreme(ladder, which);
      return pointDecision({ situation, profile, point });
    },
    observe: (state, seen) => (seen.kind === 'inference' ? { current: seen.point } : state),
    view: ({ current }) => ({ slowdown: 1, current, price: 0 }),
  };
}

function extreme(ladder: readonly Choice[], which: 'largest' | 'smallest'): number | undefined {
  return which === 'smallest' ? ladder[0]?.point : mostAccurate(ladder)?.point;
}

function atMost(
  ladder: readonly Choice[],
  latencyMs: number | undefined,
  wanted: number,
): number | undefined {
  if (ladder.some(({ point }) => point === wanted)) return wanted;
  const faster = ladder.filter((choice) => choice.latencyMs <= (latencyMs ?? Number.POSITIVE_INFINITY));
  return (faster.at(-1) ?? ladder[0])?.point;
}
