import type { OperatingPoint, Profile } from '../points.ts';
import type { Candidate, Cause, Decision, Observation, Situation } from '../policy.ts';

/** One inference that was made. */
export type InferenceSeen = Extract<Observation, { readonly kind: 'inference' }>;

/** The time within which an answer is wanted from the arrival on, milliseconds; infinite without a limit. */
export function budgetMsOf({ deadlineMs, requirement }: Situation): number {
  return deadlineMs ?? requirement.latencyMs ?? Number.POSITIVE_INFINITY;
}

/** Time until the deadline, milliseconds; below 0 when it has passed, infinite without one. */
export function timeLeftMs(situation: Situation): number {
  return situation.arrivedMs + budgetMsOf(situation) - situation.nowMs;
}

/** Whether the frame has waited, so that less than its whole slot is left. */
export function hasWaited({ nowMs, arrivedMs }: Situation): boolean {
  return nowMs > arrivedMs;
}

/** An operating point with its index in the profile. */
export interface Choice extends OperatingPoint {
  readonly point: number;
}

/** The points that could run now, the fastest first; of equally fast ones the less accurate first. */
export function usableLadder(profile: Profile, usable?: readonly boolean[]): readonly Choice[] {
  return profile
    .map((each, point) => ({ ...each, point }))
    .filter(({ point }) => usable?.[point] !== false)
    .sort((a, b) => a.latencyMs - b.latencyMs || a.accuracy - b.accuracy);
}

/** The most accurate; of equally accurate ones the first. */
export function mostAccurate(choices: readonly Choice[]): Choice | undefined {
  return choices.reduce<Choice | undefined>(
    (best, choice) => (best === undefined || choice.accuracy > best.accuracy ? choice : best),
    undefined,
  );
}

export interface Judgement {
  readonly situation: Situation;
  readonly profile: Profile;
  /** Index of the chosen point; undefined to shed the frame. */
  readonly point: number | undefined;
  /** Latency as a multiple of the profile that the policy reckons with; 1 where it knows none. */
  readonly slowdown?: number;
  readonly cause?: Cause;
}

/**
 * The decision of a policy that knows no more of a latency than one number: a miss is then either sure or
 * impossible.
 */
export function pointDecision({ situation, profile, point, slowdown = 1, cause }: Judgement): Decision {
  const leftMs = timeLeftMs(situation);
  const candidates = profile.map((each, index): Candidate => {
    const predictedMs = each.latencyMs * slowdown;
    const unusable = situation.usable?.[index] === false;
    return {
      point: index,
      predictedMs,
      missProbability: predictedMs > leftMs ? 1 : 0,
      energyJ: each.energyJ,
      value: predictedMs > leftMs ? 0 : each.accuracy,
      excludedBy: unusable ? 'unusable' : predictedMs > leftMs ? 'latency' : undefined,
    };
  });
  return decisionOf({ situation, candidates, point, ...(cause === undefined ? {} : { cause }) });
}

/** The decision for one of the candidates, or to shed the frame. */
export function decisionOf(of: {
  readonly situation: Situation;
  readonly candidates: readonly Candidate[];
  readonly point: number | undefined;
  readonly cause?: Cause;
}): Decision {
  const { situation, candidates, point } = of;
  const told = point === undefined ? fastest(candidates) : candidates[point];
  const gaveWay = point !== undefined && told?.excludedBy === 'latency';
  return {
    point,
    cause: of.cause ?? (point === undefined ? 'too-late' : gaveWay ? 'gave-way' : 'policy'),
    predictedMs: told?.predictedMs ?? Number.POSITIVE_INFINITY,
    missProbability: told?.missProbability ?? 1,
    timeLeftMs: timeLeftMs(situation),
    gaveWay: gaveWay ? ['latency'] : [],
    candidates,
  };
}

function fastest(candidates: readonly Candidate[]): Candidate | undefined {
  return candidates.reduce<Candidate | undefined>(
    (best, each) => (best === undefined || each.predictedMs < best.predictedMs ? each : best),
    undefined,
  );
}
