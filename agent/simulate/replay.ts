import type { Requirement } from '../../shared/protocol/requirement.ts';
import type { Profile } from '../runtime/points.ts';
import type { Decision, RunningPolicy } from '../runtime/policy.ts';
import { arrivalOf, type Trace } from './trace.ts';

/** What became of one frame. */
export interface FrameOutcome {
  readonly frame: number;
  readonly arrivedMs: number;
  readonly startedMs: number;
  readonly endedMs: number;
  /** Index into the profile; undefined when the frame was shed. */
  readonly point: number | undefined;
  /** Of the inference alone; 0 when shed. */
  readonly latencyMs: number;
  readonly met: boolean;
  /** Accuracy that was delivered: the point's when the deadline was met, else 0. */
  readonly goodput: number;
  readonly energyJ: number;
  readonly decision: Decision;
}

export interface ReplayOptions {
  readonly profile: Profile;
  /** The trace's deadline is the latency budget where this states none. */
  readonly requirement: Requirement;
  /**
   * For policies that never shed: a frame that has waited until less than this is left of its time is dropped
   * before the policy is asked, as queues of cameras do, and is a miss. Without it the line grows without end.
   */
  readonly hopelessMs?: number;
}

/**
 * Runs a policy over a trace. Frames wait in line, first in first out, and run one at a time; a policy sees a
 * frame when its turn comes and learns its latency when it has ended, as on a device.
 */
export function replay(trace: Trace, policy: RunningPolicy, options: ReplayOptions): FrameOutcome[] {
  const outcomes: FrameOutcome[] = [];
  let freeMs = Number.NEGATIVE_INFINITY;
  for (const frame of trace.latencyMs.keys()) {
    const outcome = oneFrame({ trace, frame, policy, freeMs, ...options });
    freeMs = outcome.endedMs;
    outcomes.push(outcome);
  }
  return outcomes;
}

interface Turn extends ReplayOptions {
  readonly trace: Trace;
  readonly frame: number;
  readonly policy: RunningPolicy;
  readonly freeMs: number;
}

function oneFrame({
  trace,
  frame,
  policy,
  freeMs,
  profile,
  requirement,
  hopelessMs = 0,
}: Turn): FrameOutcome {
  const budgetMs = requirement.latencyMs ?? trace.deadlineMs;
  const arrivedMs = arrivalOf(trace, frame);
  const startedMs = Math.max(arrivedMs, freeMs);
  const situation = { requirement: { ...requirement, latencyMs: budgetMs }, nowMs: startedMs, arrivedMs };
  const leftMs = arrivedMs + budgetMs - startedMs;
  const dropped = startedMs > arrivedMs && leftMs < hopelessMs;
  const decision = dropped ? droppedAt(leftMs, hopelessMs) : policy.decide(situation, profile);
  const { point } = decision;
  const common = { frame, arrivedMs, startedMs, decision, point };
  if (point === undefined)
    return { ...common, endedMs: startedMs, latencyMs: 0, met: false, goodput: 0, energyJ: 0 };
  const latencyMs = trace.latencyMs[frame]?.[point] ?? Number.NaN;
  const endedMs = startedMs + latencyMs;
  const energyJ = trace.levels[point]?.energyJ ?? 0;
  policy.observe(
    {
      kind: 'inference',
      point,
      latencyMs,
      startedMs,
      nowMs: endedMs,
      budgetMs,
      requirement,
    },
    profile,
  );
  const met = endedMs - arrivedMs <= budgetMs;
  return { ...common, endedMs, latencyMs, met, energyJ, goodput: met ? (profile[point]?.accuracy ?? 0) : 0 };
}

function droppedAt(timeLeftMs: number, predictedMs: number): Decision {
  const nothing = { point: undefined, candidates: [], gaveWay: [] };
  return { ...nothing, cause: 'too-late', predictedMs, missProbability: 1, timeLeftMs };
}
