import type { Profile } from '../runtime/points.ts';
import { normalCdf } from '../runtime/policies/alert-filter.ts';
import {
  type Choice,
  hasWaited,
  mostAccurate,
  pointDecision,
  timeLeftMs,
  usableLadder,
} from '../runtime/policies/situation.ts';
import type { Decision, RunningPolicy, Situation } from '../runtime/policy.ts';
import type { Generated } from './scenarios.ts';
import { arrivalOf, type Trace } from './trace.ts';

/** What an oracle does with the frame of this number. */
export type Foresight = (frame: number, situation: Situation, profile: Profile) => Decision;

/**
 * A policy that knows which frame of the trace it is asked about. Frames are asked about in their order, each
 * at most once; those that are not asked about are passed over by their arrival.
 */
export function oracleOf(name: string, trace: Trace, foresee: Foresight): RunningPolicy {
  let next = 0;
  let current: number | undefined;
  return {
    name,
    decide: (situation, profile) => {
      while (next < trace.latencyMs.length && arrivalOf(trace, next) < situation.arrivedMs) next += 1;
      const decision = foresee(next, situation, profile);
      next += 1;
      current = decision.point ?? current;
      return decision;
    },
    observe: () => undefined,
    view: () => ({ slowdown: 1, current, price: 0 }),
  };
}

/**
 * The clairvoyant of single frames: it knows every latency of the frame, and takes the most accurate point that
 * ends in the time left, else the fastest of the profile. It looks at no other frame and never sheds, so that
 * it is not the best that can be done where a late frame makes others late; `queueOracle` is.
 */
export function frameOracle(trace: Trace): RunningPolicy {
  return oracleOf('oracle', trace, (frame, situation, profile) => {
    const leftMs = timeLeftMs(situation);
    const takes = trace.latencyMs[frame] ?? [];
    const ladder = usableLadder(profile, situation.usable);
    const fitting = ladder.filter(({ point }) => (takes[point] ?? Number.POSITIVE_INFINITY) <= leftMs);
    return pointDecision({ situation, profile, point: (mostAccurate(fitting) ?? ladder[0])?.point });
  });
}

/** Of the fastest point's expected latency: with less time than this, a frame that has waited is shed. */
const SHED_UNDER = 0.9;

/** What an oracle of the disturbance believes the slowdown of a frame to be, before it runs. */
type Belief = (generated: Generated, frame: number) => number;

/** The scenario's slowdown is known, a spike only once a frame has met it. */
const disturbanceNow: Belief = ({ slowdown, scenario }, frame) => {
  const before = Math.max(0, frame - 1);
  return ((scenario[frame] ?? 1) * (slowdown[before] ?? 1)) / (scenario[before] ?? 1);
};

const disturbanceBefore: Belief = ({ slowdown }, frame) => slowdown[Math.max(0, frame - 1)] ?? 1;

/**
 * Perfect knowledge of the disturbance, but not of a frame's noise: spikes are known one frame late, as noise
 * is not known at all. Takes the point of the largest expected goodput of this frame, accuracy times the
 * probability to end in time under lognormal noise; sheds a frame that has waited and has less left than 0.9 of
 * what the fastest point is expected to take.
 * @param sigma standard deviation of the noise's logarithm
 */
export function disturbanceOracle(generated: Generated, sigma: number): RunningPolicy {
  return believing('oracle-disturbance', disturbanceNow, { generated, sigma });
}

/** The same with the slowdown of the frame before, scenario and spike: the best that mere tracking could do. */
export function oneLateOracle(generated: Generated, sigma: number): RunningPolicy {
  return believing('oracle-one-late', disturbanceBefore, { generated, sigma });
}

function believing(
  name: string,
  belief: Belief,
  { generated, sigma }: { readonly generated: Generated; readonly sigma: number },
): RunningPolicy {
  return oracleOf(name, generated.trace, (frame, situation, profile) => {
    const slowdown = belief(generated, frame);
    const leftMs = timeLeftMs(situation);
    const ladder = usableLadder(profile, situation.usable);
    const fastestMs = slowdown * (ladder[0]?.latencyMs ?? 0);
    const shed = hasWaited(situation) && leftMs < SHED_UNDER * fastestMs;
    const value = ({ latencyMs, accuracy }: Choice): number =>
      leftMs > 0 ? accuracy * normalCdf(Math.log(leftMs / (latencyMs * slowdown)) / sigma) : 0;
    const best = ladder.reduce<Choice | undefined>(
      (top, each) => (top === undefined || value(each) > value(top) ? each : top),
      undefined,
    );
    return pointDecision({ situation, profile, point: shed ? undefined : best?.point, slowdown });
  });
}
