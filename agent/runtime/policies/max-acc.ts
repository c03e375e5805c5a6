import type { Policy } from '../policy.ts';
import { mostAccurate, pointDecision, timeLeftMs, usableLadder } from './situation.ts';
import type { StaticState } from './static-level.ts';

/**
 * MaxAcc, a baseline of SuperServe (Khare et al., NSDI 2025): the most accurate sub-network whose profiled
 * latency fits into the time that is left, else the fastest. It learns nothing.
 */
export const maxAcc: Policy<StaticState> = {
  name: 'maxacc',
  initial: () => ({ current: undefined }),
  decide: (_, situation, profile) => {
    const leftMs = timeLeftMs(situation);
    const ladder = usableLadder(profile, situation.usable);
    const fitting = ladder.filter(({ latencyMs }) => latencyMs <= leftMs);
    return pointDecision({ situation, profile, point: (mostAccurate(fitting) ?? ladder[0])?.point });
  },
  observe: (state, seen) => (seen.kind === 'inference' ? { current: seen.point } : state),
  view: ({ current }) => ({ slowdown: 1, current, price: 0 }),
};
