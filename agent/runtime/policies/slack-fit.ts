import type { Profile } from '../points.ts';
import type { Policy } from '../policy.ts';
import { type Choice, mostAccurate, pointDecision, timeLeftMs, usableLadder } from './situation.ts';

export interface SlackFitOptions {
  /** Whether profiled latencies are multiplied by the slowdown measured so far. */
  readonly slowdown: boolean;
}

export interface SlackFitState {
  readonly slowdown: number;
  readonly current: number | undefined;
}

/** So many that no point lies far under the edge of its bucket. */
const BUCKETS = 32;
/** Weight of the newest inference in the slowdown: about the last three count. */
const NEWEST = 0.5;

/**
 * SlackFit of SuperServe (Khare et al., NSDI 2025, section 4.2) for single frames: latency buckets are spread
 * evenly between the fastest and the slowest point, each holds the most accurate point that is not slower than
 * the bucket, and a frame takes the bucket closest under its slack; the lowest one when none is. Published, it
 * trusts the profile; with `slowdown` the slack is divided by the measured slowdown. It never sheds.
 */
export function slackFit(options: SlackFitOptions): Policy<SlackFitState> {
  return {
    name: options.slowdown ? 'slackfit-slowdown' : 'slackfit',
    initial: () => ({ slowdown: 1, current: undefined }),
    decide: ({ slowdown }, situation, profile) => {
      const ladder = usableLadder(profile, situation.usable);
      const slackMs = timeLeftMs(situation) / slowdown;
      const point = bucketUnder(ladder, slackMs)?.point;
      return pointDecision({ situation, profile, point, slowdown });
    },
    observe: (state, seen, profile) => {
      if (seen.kind !== 'inference') return state;
      const slowdown = options.slowdown ? learnt(state.slowdown, seen.latencyMs, profile, seen.point) : 1;
      return { slowdown, current: seen.point };
    },
    view: ({ slowdown, current }) => ({ slowdown, current, price: 0 }),
  };
}

function learnt(before: number, latencyMs: number, profile: Profile, point: number): number {
  const ratio = latencyMs / (profile[point]?.latencyMs ?? Number.NaN);
  return Number.isFinite(ratio) && ratio > 0 ? before + NEWEST * (ratio - before) : before;
}

/** What the bucket closest under `slackMs` holds. */
function bucketUnder(ladder: readonly Choice[], slackMs: number): Choice | undefined {
  const [lowest, highest] = [ladder[0], ladder.at(-1)];
  if (lowest === undefined || highest === undefined) return undefined;
  const widthMs = (highest.latencyMs - lowest.latencyMs) / (BUCKETS - 1);
  const reached = widthMs > 0 ? Math.floor((slackMs - lowest.latencyMs) / widthMs) : 0;
  const bucket = Math.max(0, Math.min(BUCKETS - 1, reached));
  // The upper edge itself, not a sum that rounding leaves a little under it.
  const edgeMs = bucket === BUCKETS - 1 ? highest.latencyMs : lowest.latencyMs + bucket * widthMs;
  return mostAccurate(ladder.filter(({ latencyMs }) => latencyMs <= edgeMs)) ?? lowest;
}
