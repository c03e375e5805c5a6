import type { DecisionSeen } from '../../agent/explain/record.ts';
import type { Profile } from '../../agent/runtime/points.ts';
import type { Candidate, Decision } from '../../agent/runtime/policy.ts';

/** Three levels on the CPU, one on the GPU. */
export const PROFILE: Profile = [
  { pe: 'cpu', level: 0, accuracy: 0.895, latencyMs: 10, energyJ: 0.02 },
  { pe: 'cpu', level: 1, accuracy: 0.91, latencyMs: 15, energyJ: 0.03 },
  { pe: 'cpu', level: 2, accuracy: 0.93, latencyMs: 30 },
  { pe: 'gpu', level: 2, accuracy: 0.93, latencyMs: 5 },
];

function candidateOf(point: number, change: Partial<Candidate> = {}): Candidate {
  const { accuracy, latencyMs, energyJ } = PROFILE[point] ?? {
    accuracy: 0,
    latencyMs: 1,
    energyJ: undefined,
  };
  return {
    point,
    predictedMs: latencyMs * 1.2,
    missProbability: 0.01,
    energyJ,
    value: accuracy,
    excludedBy: undefined,
    ...change,
  };
}

/** Level 1, because level 2 would be late and the GPU is not loaded. */
export function decisionOf(change: Partial<Decision> = {}): Decision {
  return {
    point: 1,
    cause: 'latency-binds',
    predictedMs: 18,
    missProbability: 0.03,
    timeLeftMs: 20,
    gaveWay: [],
    candidates: [
      candidateOf(0),
      candidateOf(1, { missProbability: 0.03 }),
      candidateOf(2, { missProbability: 0.97, excludedBy: 'latency' }),
      candidateOf(3, { predictedMs: Number.POSITIVE_INFINITY, excludedBy: 'unusable' }),
    ],
    ...change,
  };
}

/** A switch from level 2 to level 1 at a time. */
export function switchAt(ts: number, change: Partial<DecisionSeen> = {}): DecisionSeen {
  return {
    kind: 'switch',
    ts,
    decision: decisionOf(),
    requirement: { latencyMs: 20, accuracyFloor: 0.9, priority: 'latency' },
    profile: PROFILE,
    from: PROFILE[2],
    outcome: { latencyMs: 16.25, missed: false },
    ...change,
  };
}
