import type { Requirement } from '../../../shared/protocol/requirement.ts';
import type { Profile } from '../points.ts';
import type { Candidate, Decision, Observation, Policy, Situation } from '../policy.ts';
import {
  type AlertConstants,
  type IdleFilter,
  INITIAL_IDLE,
  initialSlowdown,
  metProbability,
  nextIdle,
  nextSlowdown,
  type SlowdownFilter,
} from './alert-filter.ts';
import { decisionOf, hasWaited, type InferenceSeen, timeLeftMs } from './situation.ts';

export interface AlertOptions {
  readonly name: string;
  readonly constants: AlertConstants;
  /** Whether a frame that has waited is shed when not even the fastest point is expected to meet its deadline. */
  readonly sheds: boolean;
}

export interface AlertState {
  readonly slowdown: SlowdownFilter;
  readonly idle: IdleFilter;
  /** Inferences since the last reading of energy: their energy as profiled, and their time. */
  readonly busyJ: number;
  readonly busyMs: number;
  readonly current: number | undefined;
}

/**
 * ALERT (Wan et al., USENIX ATC 2020, arXiv 1911.00119) for operating points of one power setting. The slowdown
 * is believed to be normally distributed; the expected accuracy of a point is its accuracy times the probability
 * that it ends in the time that is left, a late answer being worth nothing.
 *
 * With an energy limit, or without any goal, it takes the largest expected accuracy within the limit; with an
 * accuracy floor and no energy limit, the least energy among points whose expected accuracy reaches the floor.
 * When nothing fits, the energy is given up first, then the accuracy. The slowdown is one number for all points,
 * of both processing elements too. A point without a known energy counts as within any limit and as the dearest.
 */
export function alertPolicy(options: AlertOptions): Policy<AlertState> {
  return {
    name: options.name,
    initial: () => ({
      slowdown: initialSlowdown(options.constants),
      idle: INITIAL_IDLE,
      busyJ: 0,
      busyMs: 0,
      current: undefined,
    }),
    decide: (state, situation, profile) => decide(state, { situation, profile, ...options }),
    observe: (state, seen, profile) => observe(state, { seen, profile, constants: options.constants }),
    view: ({ slowdown, current }) => ({ slowdown: slowdown.mean, current, price: 0 }),
  };
}

interface Question {
  readonly situation: Situation;
  readonly profile: Profile;
  readonly sheds: boolean;
  readonly constants: AlertConstants;
}

function decide(state: AlertState, { situation, profile, sheds, constants }: Question): Decision {
  const candidates = profile.map((_, point) => candidateOf(state, { situation, profile, point, constants }));
  const usable = candidates.filter(({ excludedBy }) => excludedBy !== 'unusable');
  const leftMs = timeLeftMs(situation);
  const hopeless = usable.every(({ point }) => expectedMs(state, profile, point) > leftMs);
  if (sheds && hopeless && hasWaited(situation))
    return decisionOf({ situation, candidates, point: undefined });
  const { point, gaveWay } = chosen(usable, situation.requirement);
  return {
    ...decisionOf({ situation, candidates, point }),
    gaveWay,
    ...(gaveWay.length > 0 && { cause: 'gave-way' }),
  };
}

function expectedMs({ slowdown }: AlertState, profile: Profile, point: number): number {
  return slowdown.mean * (profile[point]?.latencyMs ?? Number.POSITIVE_INFINITY);
}

function candidateOf(
  state: AlertState,
  { situation, profile, point, constants }: Omit<Question, 'sheds'> & { readonly point: number },
): Candidate {
  const { requirement, usable } = situation;
  const { accuracy = 0, energyJ, latencyMs = Number.POSITIVE_INFINITY } = profile[point] ?? {};
  const leftMs = timeLeftMs(situation);
  const predictedMs = expectedMs(state, profile, point);
  const met = metProbability(state.slowdown, leftMs / latencyMs, constants);
  const expectedJ =
    energyJ === undefined ? undefined : expectedEnergyJ(state, { energyJ, latencyMs, leftMs });
  const dear = (expectedJ ?? 0) > (requirement.energyJ ?? Number.POSITIVE_INFINITY);
  return {
    point,
    predictedMs,
    missProbability: 1 - met,
    energyJ: expectedJ,
    value: met * accuracy,
    excludedBy: usable?.[point] === false ? 'unusable' : dear ? 'energy' : undefined,
  };
}

/** e = p mu t + phi p (T - mu t): the inference, and the idling for the rest of the time that is left. */
function expectedEnergyJ(
  { slowdown, idle }: AlertState,
  point: { readonly energyJ: number; readonly latencyMs: number; readonly leftMs: number },
): number {
  const powerW = (1_000 * point.energyJ) / point.latencyMs;
  const busyMs = slowdown.mean * point.latencyMs;
  const idleMs = Number.isFinite(point.leftMs) ? Math.max(0, point.leftMs - busyMs) : 0;
  return (powerW * (busyMs + idle.ratio * idleMs)) / 1_000;
}

type Chosen = Pick<Decision, 'point' | 'gaveWay'>;

function chosen(usable: readonly Candidate[], { energyJ, accuracyFloor }: Requirement): Chosen {
  if (energyJ === undefined && accuracyFloor !== undefined) return leastEnergy(usable, accuracyFloor);
  const within = usable.filter(({ excludedBy }) => excludedBy === undefined);
  if (within.length > 0) return { point: largest(within, ({ value }) => value)?.point, gaveWay: [] };
  const point = largest(usable, ({ value }) => value)?.point;
  return { point, gaveWay: point === undefined ? [] : ['energy'] };
}

function leastEnergy(usable: readonly Candidate[], accuracyFloor: number): Chosen {
  const reaching = usable.filter(({ value }) => value >= accuracyFloor);
  if (reaching.length === 0) {
    return { point: largest(usable, ({ value }) => value)?.point, gaveWay: ['accuracy'] };
  }
  const best = largest(reaching, ({ energyJ = Number.POSITIVE_INFINITY }) => -energyJ);
  return { point: best?.point, gaveWay: [] };
}

function largest(candidates: readonly Candidate[], of: (each: Candidate) => number): Candidate | undefined {
  return candidates.reduce<Candidate | undefined>(
    (best, each) => (best === undefined || of(each) > of(best) ? each : best),
    undefined,
  );
}

interface Seen {
  readonly seen: Observation;
  readonly profile: Profile;
  readonly constants: AlertConstants;
}

function observe(state: AlertState, { seen, profile, constants }: Seen): AlertState {
  if (seen.kind === 'inference') return inferred(state, { seen, profile, constants });
  if (seen.kind === 'energy') return metered(state, seen);
  return state;
}

function inferred(
  state: AlertState,
  { seen, profile, constants }: Seen & { readonly seen: InferenceSeen },
): AlertState {
  const { energyJ = 0, latencyMs = Number.NaN } = profile[seen.point] ?? {};
  const measured = seen.latencyMs / latencyMs;
  if (!(Number.isFinite(measured) && measured > 0)) return state;
  return {
    ...state,
    slowdown: nextSlowdown(state.slowdown, measured, constants),
    busyJ: state.busyJ + energyJ * measured,
    busyMs: state.busyMs + seen.latencyMs,
    current: seen.point,
  };
}

/** What the device used beside its inferences, over the time between them, is its idle power. */
function metered(
  state: AlertState,
  { energyJ, overMs }: Extract<Observation, { readonly kind: 'energy' }>,
): AlertState {
  const { busyJ, busyMs, idle } = state;
  const reset = { ...state, busyJ: 0, busyMs: 0 };
  const ratio = (energyJ - busyJ) / (overMs - busyMs) / (busyJ / busyMs);
  const sound = overMs > busyMs && Number.isFinite(ratio) && ratio >= 0;
  return sound ? { ...reset, idle: nextIdle(idle, ratio) } : reset;
}
