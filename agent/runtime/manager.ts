import type { Requirement } from '../../shared/protocol/requirement.ts';
import type { ProcessingElement } from '../../shared/protocol/window.ts';

/**
 * The runtime manager: which operating point the next inference uses. Pure: no clock, no I/O, state is
 * passed in and handed back, so that the same code runs on a device, in a simulator and in a benchmark.
 *
 * What is known of the machine is one number: the slowdown, the measured latency as a multiple of the
 * profile's, shared by all operating points. Under contention it is the same for all of them within about
 * 10 % on one thread, so a measurement at one level predicts every other one, and the manager can jump to
 * the right level instead of stepping (ALERT, Wan et al., USENIX ATC 2020, section 3; Dynamic-OFA, Lou et
 * al., CVPR-W 2021, Figure 7).
 */
export interface OperatingPoint {
  readonly pe: ProcessingElement;
  readonly level: number;
  /** Top-1, 0..1. */
  readonly accuracy: number;
  /** Median latency measured on this device, milliseconds. */
  readonly latencyMs: number;
}

/** Operating points of one device, in the family's order. */
export type Profile = readonly OperatingPoint[];

export interface ManagerState {
  /** Latency as a multiple of the profile, averaged over recent inferences. */
  readonly slowdown: number;
  /** Recent peak of slowdown and tail together, decaying towards them: what a climb has to fit under, so that a gain must last. */
  readonly ceiling: number;
  /** Log of the ratio between the tail (at the miss share) and the average. */
  readonly tail: number;
  /** Consecutive large residuals to one side, log ratio; two of them are a step, one is an accident. */
  readonly surprises: readonly number[];
  /** Index of the operating point of the last inference. */
  readonly current: number | undefined;
  /** Monotonic time of the last observation. */
  readonly observedMs: number | undefined;
}

export interface Observation {
  /** Index of the operating point in the profile. */
  readonly point: number;
  readonly latencyMs: number;
  /** What the profile promises for that point. */
  readonly profileMs: number;
  /** Share of inferences that may miss, 0..1. */
  readonly missShare: number;
  /** Monotonic time at the end of the inference. */
  readonly nowMs: number;
}

export type Limit = 'latency' | 'accuracy';

/** Why a point was chosen: the limit that kept the manager from a more accurate point, if any. */
export type Cause =
  | 'most-accurate'
  | 'latency-binds'
  | 'gain-must-last'
  | 'latency-gives-way'
  | 'accuracy-gives-way';

export interface Decision {
  /** Index into the profile. */
  readonly point: number;
  readonly cause: Cause;
  /** Latency that is expected of the point at the asked miss share, milliseconds. */
  readonly predictedMs: number;
  /** Limits that no operating point can meet now together with the others. */
  readonly violated: readonly Limit[];
}

export const DEFAULT_MISS_SHARE = 0.05;

/**
 * A residual this many tails from the average is not noise but a change of the machine's load, or an
 * accident; within bounds, so that a calm machine does not see steps everywhere nor a noisy one none.
 */
const TAILS_TO_STEP = 3;
const MIN_STEP = Math.log(1.15);
const MAX_STEP = Math.log(1.4);
/** Small, because steps are followed on their own: what is left to average is noise and slow drift. */
const AVERAGE_WEIGHT = 0.05;
/** Relative step of the tail: noise of 1 % and of 30 % are learnt equally fast, and neither makes it jump. */
const TAIL_STEP = 0.1;
const INITIAL_TAIL = Math.log(1.15);
const MIN_TAIL = 0.01;
const MAX_TAIL = Math.log(3);
/** How long a peak is remembered before a climb: e-folding time, milliseconds. */
const CEILING_MEMORY_MS = 300;
/** Room that a climb needs within the budget beyond the peak, or the noise of the estimate makes it flap. */
const CLIMB_MARGIN = 1.01;
const MIN_SLOWDOWN = 0.01;
const MAX_SLOWDOWN = 10_000;

/** What is assumed before the first inference: the machine is as it was when it was profiled. */
export function initialState(): ManagerState {
  return {
    slowdown: 1,
    ceiling: Math.exp(INITIAL_TAIL),
    tail: INITIAL_TAIL,
    surprises: [],
    current: undefined,
    observedMs: undefined,
  };
}

/**
 * Takes a measured inference in. Readings that cannot be (not finite, not positive) change nothing, and
 * time that goes backwards counts as no time.
 */
export function observe(state: ManagerState, seen: Observation): ManagerState {
  const ratio = seen.latencyMs / seen.profileMs;
  if (!Number.isFinite(ratio) || ratio <= 0) return { ...state, current: seen.point };
  const residual = Math.log(ratio / state.slowdown);
  const { slowdown, surprises } = followSlowdown(state, residual);
  const tail = followTail(state.tail, residual, seen.missShare);
  const nowMs = Number.isFinite(seen.nowMs) ? seen.nowMs : state.observedMs;
  return {
    slowdown,
    surprises,
    ceiling: decayCeiling(state, slowdown * Math.exp(tail), nowMs),
    tail,
    current: seen.point,
    observedMs: nowMs,
  };
}

/** Tracks the quantile of the residuals that the share of misses asks for: up at a miss, down a little otherwise. */
function followTail(tail: number, residual: number, missShare: number): number {
  const share = missShare >= 0 && missShare <= 1 ? missShare : DEFAULT_MISS_SHARE;
  const followed = tail * Math.exp(TAIL_STEP * (residual > tail ? 1 - share : -share));
  return Math.min(MAX_TAIL, Math.max(MIN_TAIL, followed));
}

function followSlowdown(
  state: ManagerState,
  residual: number,
): { slowdown: number; surprises: readonly number[] } {
  const clamped = (slowdown: number) => Math.min(MAX_SLOWDOWN, Math.max(MIN_SLOWDOWN, slowdown));
  const step = Math.min(MAX_STEP, Math.max(MIN_STEP, TAILS_TO_STEP * state.tail));
  if (Math.abs(residual) <= step) {
    return { slowdown: clamped(state.slowdown * Math.exp(AVERAGE_WEIGHT * residual)), surprises: [] };
  }
  const sameSide = state.surprises.filter((earlier) => Math.sign(earlier) === Math.sign(residual));
  const surprises = [...sameSide, residual];
  if (surprises.length < 2) return { slowdown: state.slowdown, surprises };
  const mean = surprises.reduce((sum, value) => sum + value, 0) / surprises.length;
  return { slowdown: clamped(state.slowdown * Math.exp(mean)), surprises: [] };
}

function decayCeiling(state: ManagerState, factor: number, nowMs = 0): number {
  const elapsedMs = Math.max(0, nowMs - (state.observedMs ?? nowMs));
  const kept = Math.exp(-elapsedMs / CEILING_MEMORY_MS);
  return Math.max(factor, factor + (state.ceiling - factor) * kept);
}

/**
 * Chooses the operating point of the next inference: the most accurate one whose predicted latency is
 * within the budget and whose accuracy is not under the floor. When there is none, the limit that is not
 * `requirement.priority` gives way.
 */
export function decide(state: ManagerState, requirement: Requirement, profile: Profile): Decision {
  const predict = predictor(profile, state.slowdown * Math.exp(state.tail));
  const budgetMs = requirement.latencyMs ?? Number.POSITIVE_INFINITY;
  const floor = requirement.accuracyFloor ?? 0;
  const indices = [...profile.keys()];
  const fast = indices.filter((index) => predict(index) <= budgetMs);
  const accurate = indices.filter((index) => accuracyOf(profile, index) >= floor);
  const fitting = fast.filter((index) => accurate.includes(index));
  const decision = (point: number, cause: Cause, violated: readonly Limit[] = []): Decision => ({
    point,
    cause,
    violated,
    predictedMs: predict(point),
  });
  if (fitting.length > 0) return decision(...chooseFitting({ state, profile, budgetMs, fitting }));
  if (fast.length > 0 && (requirement.priority !== 'accuracy' || accurate.length === 0)) {
    return decision(mostAccurate(profile, fast), 'accuracy-gives-way', ['accuracy']);
  }
  if (accurate.length > 0 && (requirement.priority === 'accuracy' || floor === 0)) {
    return decision(fastest(profile, accurate), 'latency-gives-way', ['latency']);
  }
  // Nothing is fast enough: to be late by as little as possible is what latency before accuracy means.
  const least = fastest(profile, indices);
  const underFloor = accuracyOf(profile, least) < floor;
  return decision(least, 'latency-gives-way', underFloor ? ['latency', 'accuracy'] : ['latency']);
}

function accuracyOf(profile: Profile, index: number): number {
  return profile[index]?.accuracy ?? 0;
}

function predictor(profile: Profile, factor: number): (index: number) => number {
  return (index) => (profile[index]?.latencyMs ?? Number.POSITIVE_INFINITY) * factor;
}

function fastest(profile: Profile, indices: readonly number[]): number {
  return indices.reduce((best, index) =>
    (profile[index]?.latencyMs ?? Number.POSITIVE_INFINITY) <
    (profile[best]?.latencyMs ?? Number.POSITIVE_INFINITY)
      ? index
      : best,
  );
}

/** Highest accuracy; of equals the faster one. */
function mostAccurate(profile: Profile, indices: readonly number[]): number {
  const top = Math.max(...indices.map((index) => accuracyOf(profile, index)));
  return fastest(
    profile,
    indices.filter((index) => accuracyOf(profile, index) === top),
  );
}

interface FittingChoice {
  readonly state: ManagerState;
  readonly profile: Profile;
  readonly budgetMs: number;
  readonly fitting: readonly number[];
}

/** Down at once, up only where the gain would also have lasted through the recent peak of slowdown. */
function chooseFitting({ state, profile, budgetMs, fitting }: FittingChoice): [number, Cause] {
  const best = mostAccurate(profile, fitting);
  const top = mostAccurate(profile, [...profile.keys()]);
  const cause: Cause = best === top ? 'most-accurate' : 'latency-binds';
  const { current } = state;
  const mayStay = current !== undefined && fitting.includes(current);
  if (!mayStay || accuracyOf(profile, best) <= accuracyOf(profile, current)) return [best, cause];
  const peak = predictor(profile, state.ceiling * CLIMB_MARGIN);
  const lasting = fitting.filter((index) => peak(index) <= budgetMs || index === current);
  const chosen = mostAccurate(profile, lasting);
  return chosen === best ? [best, cause] : [chosen, 'gain-must-last'];
}

/** Says in one line, for people, why a decision was made. */
export function explainDecision(decision: Decision, requirement: Requirement): string {
  const predicted = `${decision.predictedMs.toPrecision(3)} ms predicted`;
  const budget =
    requirement.latencyMs === undefined ? 'no latency budget' : `budget ${requirement.latencyMs} ms`;
  const floor =
    requirement.accuracyFloor === undefined ? '' : `, accuracy floor ${requirement.accuracyFloor}`;
  const why: Record<Cause, string> = {
    'most-accurate': 'the most accurate level fits',
    'latency-binds': 'the most accurate level that the latency budget allows',
    'gain-must-last': 'a more accurate level would fit now but not through the recent peak of load',
    'latency-gives-way': 'no level is fast enough: the latency budget gives way',
    'accuracy-gives-way': 'no level that is fast enough is accurate enough: the accuracy floor gives way',
  };
  return `${why[decision.cause]} (${predicted}, ${budget}${floor})`;
}
