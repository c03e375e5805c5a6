import {
  type ExplainedCandidate,
  type ExplainedDecision,
  MAX_CANDIDATES,
  type PointName,
} from '../../shared/protocol/explanation.ts';
import type { Limit, Requirement } from '../../shared/protocol/requirement.ts';
import type { Profile } from '../runtime/points.ts';
import type { Candidate, Decision } from '../runtime/policy.ts';

/** A decision that is worth a word, as the inference loop hands it over. */
export interface DecisionSeen {
  readonly kind: ExplainedDecision['kind'];
  /** Wall clock, milliseconds since the epoch. */
  readonly ts: number;
  readonly decision: Decision;
  /** What was in force for this inference. */
  readonly requirement: Requirement;
  readonly profile: Profile;
  /** `violation`: which limit, and whether it begins or ends. */
  readonly violation?: { readonly limit: Limit; readonly state: 'begins' | 'ends' };
  /** The operating point before; it may be one of the profile. */
  readonly from?: PointName | undefined;
  /** What was measured; a frame that was shed has none. */
  readonly outcome?: { readonly latencyMs: number; readonly missed: boolean } | undefined;
}

/**
 * A decision as it is kept and told: complete in itself, so that it keeps no profile alive, and without
 * numbers that JSON does not have.
 */
export function recordOf(seen: DecisionSeen): ExplainedDecision {
  const { kind, ts, decision, requirement, profile, violation, from, outcome } = seen;
  const to = decision.point === undefined ? undefined : profile[decision.point];
  const told = toldCandidates(decision);
  const more = decision.candidates.length - told.length;
  return {
    kind,
    ts,
    ...violation,
    ...(from === undefined ? {} : { from: nameOf(from) }),
    ...(to === undefined ? {} : { to: nameOf(to) }),
    ...expectedOf(decision),
    ...finite({ timeLeftMs: decision.timeLeftMs }),
    gaveWay: [...decision.gaveWay],
    requirement,
    candidates: told.flatMap((candidate) => candidateRecord(candidate, profile)),
    ...(more > 0 ? { moreCandidates: more } : {}),
    ...(outcome !== undefined && outcome.latencyMs >= 0 && Number.isFinite(outcome.latencyMs)
      ? { outcome: { latencyMs: outcome.latencyMs, missed: outcome.missed } }
      : {}),
  };
}

/** What an event says of the decision behind it, ready for the protocol. */
export function expectedOf({ cause, predictedMs, missProbability }: Decision) {
  return { cause, ...expectation({ predictedMs, missProbability }) };
}

/**
 * What was expected, within what the protocol takes: a policy's arithmetic may leave the bounds by a rounding
 * error, and a controller would drop the whole message for it.
 */
function expectation({ predictedMs, missProbability }: Pick<Decision, 'predictedMs' | 'missProbability'>) {
  return finite({
    predictedMs: Math.max(0, predictedMs),
    missProbability: Math.min(1, Math.max(0, missProbability)),
  });
}

export function nameOf({ pe, level }: PointName): PointName {
  return { pe, level };
}

/** Those that fit, in their order, and the chosen one in any case. */
function toldCandidates({ candidates, point }: Decision): readonly Candidate[] {
  if (candidates.length <= MAX_CANDIDATES) return candidates;
  const first = candidates.slice(0, MAX_CANDIDATES);
  const chosen = candidates.slice(MAX_CANDIDATES).find((candidate) => candidate.point === point);
  return chosen === undefined ? first : [...first.slice(0, -1), chosen];
}

function candidateRecord(candidate: Candidate, profile: Profile): ExplainedCandidate[] {
  const point = profile[candidate.point];
  if (point === undefined) return [];
  const { energyJ, value, excludedBy } = candidate;
  return [
    {
      ...nameOf(point),
      accuracy: Math.min(1, Math.max(0, point.accuracy)),
      ...expectation(candidate),
      ...finite({ energyJ: energyJ === undefined ? undefined : Math.max(0, energyJ), value }),
      ...(excludedBy === undefined ? {} : { excludedBy }),
    },
  ];
}

/** The numbers that are numbers. */
function finite<K extends string>(
  values: Readonly<Record<K, number | undefined>>,
): Partial<Record<K, number>>;
function finite(values: Readonly<Record<string, number | undefined>>): Record<string, number> {
  const kept = Object.entries(values).flatMap(([key, value]) =>
    value !== undefined && Number.isFinite(value) ? [[key, value] as const] : [],
  );
  return Object.fromEntries(kept);
}
