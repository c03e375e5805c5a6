import type { Limit, Requirement } from '../../shared/protocol/requirement.ts';
import type { Profile } from './points.ts';

/** What is known when a frame asks for an operating point. */
export interface Situation {
  /** The requirement in force, with what this request states laid over it. */
  readonly requirement: Requirement;
  /** Monotonic times, milliseconds. */
  readonly nowMs: number;
  readonly arrivedMs: number;
  /** Time from the arrival within which the answer is wanted; without it the latency budget is it. */
  readonly deadlineMs?: number;
  /** Points that could run now, by index; without it all of them. A point that is not loaded cannot. */
  readonly usable?: readonly boolean[];
}

/** What was expected of one operating point when a decision was made. */
export interface Candidate {
  /** Index into the profile. */
  readonly point: number;
  /** Latency at the asked share of misses, milliseconds. */
  readonly predictedMs: number;
  /** Probability that it ends after the time that is left, 0..1. */
  readonly missProbability: number;
  /** Energy of one inference, joules, where it is known. */
  readonly energyJ: number | undefined;
  /** What the policy maximises: expected accuracy less price times energy, for instance. */
  readonly value: number;
  /** What keeps it out; undefined when it could be chosen. */
  readonly excludedBy: Limit | 'unusable' | undefined;
}

/** Why a point was chosen. */
export type Cause =
  /** The best of all points meets everything. */
  | 'best'
  /** A better one is kept out by this limit. */
  | 'latency-binds'
  | 'accuracy-binds'
  | 'energy-binds'
  | 'temperature-binds'
  /** A better one costs more energy than its accuracy is worth at the price in force. */
  | 'price-binds'
  /** A better one would fit now, but such gains have not lasted lately. */
  | 'gain-must-last'
  /** Load is expected to come back now, as it has before. */
  | 'load-expected'
  /** Nothing meets every limit: those of `gaveWay` are broken. */
  | 'gave-way'
  /** Not even the fastest point would end in what is left of the frame's time. */
  | 'too-late'
  /** The policy does not say. */
  | 'policy';

export interface Decision {
  /** Index into the profile; undefined when the frame is shed. */
  readonly point: number | undefined;
  readonly cause: Cause;
  /** Of the chosen point (when shed, of the fastest one). */
  readonly predictedMs: number;
  readonly missProbability: number;
  /** Until the deadline, at the decision; infinite without a latency budget. */
  readonly timeLeftMs: number;
  /** Limits that no usable point meets together with those of higher priority. */
  readonly gaveWay: readonly Limit[];
  readonly candidates: readonly Candidate[];
}

/** What happened; all of it that a policy learns from. Times are monotonic milliseconds. */
export type Observation =
  | {
      readonly kind: 'inference';
      /** Index into the profile. */
      readonly point: number;
      /** The inference alone, without waiting. */
      readonly latencyMs: number;
      readonly startedMs: number;
      readonly nowMs: number;
      /** Time that was allowed, from the frame's arrival: the deadline or the latency budget; undefined without one. */
      readonly budgetMs: number | undefined;
      /** The requirement that it was chosen under. */
      readonly requirement: Requirement;
    }
  /** Energy that the device used in the time before `nowMs`. */
  | { readonly kind: 'energy'; readonly energyJ: number; readonly overMs: number; readonly nowMs: number }
  | { readonly kind: 'temperature'; readonly tempC: number; readonly nowMs: number };

/** What a policy believes of the machine, for telemetry and people. */
export interface PolicyView {
  /** Latency as a multiple of the profile, of the processing element of the last inference. */
  readonly slowdown: number;
  /** Index of the point of the last inference. */
  readonly current: number | undefined;
  /** Accuracy per joule in force here: the fleet's price and the local surcharge. */
  readonly price: number;
}

/**
 * Chooses an operating point for each inference. Pure: no clock, no I/O; state goes in and comes out, so that
 * the same code runs on a device, over a recorded trace and in a comparison of policies.
 */
export interface Policy<S> {
  readonly name: string;
  initial(profile: Profile): S;
  decide(state: S, situation: Situation, profile: Profile): Decision;
  observe(state: S, seen: Observation, profile: Profile): S;
  view(state: S): PolicyView;
}

/** A policy with its state, for who does not care what the state is made of. */
export interface RunningPolicy {
  readonly name: string;
  decide(situation: Situation, profile: Profile): Decision;
  observe(seen: Observation, profile: Profile): void;
  view(): PolicyView;
}

/** Starts a policy: the one place where its state is kept. */
export function startPolicy<S>(policy: Policy<S>, profile: Profile): RunningPolicy {
  let state = policy.initial(profile);
  return {
    name: policy.name,
    decide: (situation, current) => policy.decide(state, situation, current),
    observe: (seen, current) => {
      state = policy.observe(state, seen, current);
    },
    view: () => policy.view(state),
  };
}
