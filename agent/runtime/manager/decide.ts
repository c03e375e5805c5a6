import { DEFAULT_MISS_SHARE, orderOfLimits } from '../../../shared/protocol/requirement.ts';
import type { ProcessingElement } from '../../../shared/protocol/window.ts';
import type { Profile } from '../points.ts';
import type { Candidate, Decision, Situation } from '../policy.ts';
import { type Choice, choose, type Option } from './choose.ts';
import { barredPoint } from './climbing.ts';
import { expectedSlowdown, newElement } from './element.ts';
import { type Asked, type Expectation, expectationOf, missProbabilityOf, optionOf } from './options.ts';
import { worthShedding } from './shed.ts';
import { type ManagerState, unloadedMs } from './state.ts';
import { chargeOf, costsOf } from './surcharge.ts';

const USUAL_ORDER = orderOfLimits(undefined);
/** From this probability on an expected onset is a reason. */
const EXPECTED = 0.02;

/** A frame that has waited no longer than this has its whole slot, and is never shed. */
const WHOLE_SLOT_MS = 1;

/** What holds for all points at one decision. */
interface Frame {
  readonly state: ManagerState;
  readonly profile: Profile;
  /** Energy of each point, known or assumed, joules. */
  readonly costs: readonly number[];
  readonly nowMs: number;
  readonly waitedMs: number;
  readonly budgetMs: number;
  readonly asked: Asked;
  readonly expectations: ReadonlyMap<ProcessingElement, Expectation>;
}

/** Chooses a point of the profile for a frame, or sheds it. */
export function decide(state: ManagerState, situation: Situation, profile: Profile): Decision {
  const frame = frameOf(state, situation, profile);
  const { timeLeftMs } = frame.asked;
  const options = optionsOf(frame);
  const choice = chooseFor(frame, options);
  const candidates: readonly Candidate[] = options;
  const fastest = fastestOf(options);
  if (choice === undefined || fastest === undefined) return noneUsable(timeLeftMs, candidates);
  const { cause, gaveWay } = choice;
  if (gaveWay.includes('latency') && isToBeShed(frame, fastest)) {
    const { predictedMs, missProbability } = fastest;
    const shed = { point: undefined, cause: 'too-late' as const };
    return { ...shed, predictedMs, missProbability, timeLeftMs, gaveWay, candidates };
  }
  const { point, predictedMs, missProbability } = choice.option;
  return { point, cause, predictedMs, missProbability, timeLeftMs, gaveWay, candidates };
}

function noneUsable(timeLeftMs: number, candidates: readonly Candidate[]): Decision {
  const never = { predictedMs: Number.POSITIVE_INFINITY, missProbability: 1 };
  return { point: undefined, cause: 'gave-way', ...never, timeLeftMs, gaveWay: ['latency'], candidates };
}

function frameOf(state: ManagerState, situation: Situation, profile: Profile): Frame {
  const { requirement, arrivedMs, usable, deadlineMs } = situation;
  const { last, surcharge, elements } = state;
  const nowMs = [situation.nowMs, arrivedMs].find(Number.isFinite) ?? 0;
  // A clock that lies makes no frame late.
  const waitedMs = Number.isFinite(nowMs - arrivedMs) ? Math.max(0, nowMs - arrivedMs) : 0;
  const budgetMs = deadlineMs ?? requirement.latencyMs ?? Number.POSITIVE_INFINITY;
  const missShare = requirement.missShare ?? DEFAULT_MISS_SHARE;
  const costs = costsOf(profile);
  const asked: Asked = {
    requirement,
    timeLeftMs: budgetMs - waitedMs,
    missShare,
    price: requirement.price ?? 0,
    charge: chargeOf(surcharge, requirement, nowMs),
    energyIsKnown: profile.some(({ energyJ }) => energyJ !== undefined),
    leastJ: leastOf(costs, usable),
    current: last?.point,
    usable,
  };
  const expectations = new Map<ProcessingElement, Expectation>();
  for (const { pe } of profile) {
    if (expectations.has(pe)) continue;
    expectations.set(pe, expectationOf(pe, elements.get(pe) ?? newElement(), { nowMs, missShare }));
  }
  return { state, profile, costs, nowMs, waitedMs, budgetMs, asked, expectations };
}

function leastOf(costs: readonly number[], usable: readonly boolean[] | undefined): number {
  let least = Number.POSITIVE_INFINITY;
  for (const [point, cost] of costs.entries()) {
    if (usable === undefined || usable[point] === true) least = Math.min(least, cost);
  }
  return least;
}

function optionsOf({ state, profile, costs, asked, expectations }: Frame): readonly Option[] {
  return profile.flatMap((of, point) => {
    const expectation = expectations.get(of.pe);
    const latencyMs = unloadedMs(state, profile, point);
    return expectation === undefined
      ? []
      : optionOf(asked, expectation, { point, of, latencyMs, cost: costs[point] ?? 0 });
  });
}

function chooseFor(frame: Frame, options: readonly Option[]): Choice | undefined {
  const { state, profile, nowMs, asked, expectations } = frame;
  const { climbing } = state;
  const { priority } = asked.requirement;
  const barred = barredPoint(climbing, nowMs);
  return choose(options, {
    order: priority === undefined ? USUAL_ORDER : orderOfLimits(priority),
    current: asked.current,
    held: inferencesSince(frame, climbing.movedMs),
    climbsBelow: profile[barred ?? -1]?.accuracy ?? Number.POSITIVE_INFINITY,
    accuracyRange: rangeOf(profile),
    energyHasPrice: asked.price + asked.charge.price > 0,
    loadExpected: [...expectations.values()].some(({ outlook }) => outlook.due > EXPECTED),
  });
}

/** About how many inferences there were since, by the pace of the element that was used. */
function inferencesSince({ state, nowMs, expectations }: Frame, sinceMs: number): number {
  const pe = state.last?.pe;
  const paceMs = (pe === undefined ? undefined : expectations.get(pe))?.element.onsets.paceMs ?? 0;
  return paceMs > 0 ? Math.max(0, nowMs - sinceMs) / paceMs : 0;
}

function rangeOf(profile: Profile): number {
  let least = 1;
  let most = 0;
  for (const { accuracy } of profile) {
    least = Math.min(least, accuracy);
    most = Math.max(most, accuracy);
  }
  return Math.max(0, most - least);
}

function fastestOf(options: readonly Option[]): Option | undefined {
  let fastest: Option | undefined;
  for (const option of options) {
    if (option.excludedBy === 'unusable') continue;
    if (fastest === undefined || option.predictedMs < fastest.predictedMs) fastest = option;
  }
  return fastest;
}

/** Only a frame that has waited, and whose time is worth more to the next one. */
function isToBeShed(frame: Frame, fastest: Option): boolean {
  const { state, profile, waitedMs, budgetMs, expectations } = frame;
  const pe = profile[fastest.point]?.pe;
  const expectation = pe === undefined ? undefined : expectations.get(pe);
  if (expectation === undefined || waitedMs <= WHOLE_SLOT_MS) return false;
  const { paceMs } = expectation.element.onsets;
  return worthShedding({
    goodput: fastest.accuracy * (1 - fastest.missProbability),
    takesMs: unloadedMs(state, profile, fastest.point) * expectedSlowdown(expectation.outlook),
    nextInMs: Math.max(0, (paceMs > 0 ? paceMs : budgetMs) - waitedMs),
    budgetMs,
    bestWithin: (timeLeftMs) => bestWithin(frame, expectation, timeLeftMs),
  });
}

/** The best expected accuracy of a frame that has so much time, on the same processing element. */
function bestWithin({ state, profile, asked }: Frame, expectation: Expectation, timeLeftMs: number): number {
  return profile.reduce((best, { accuracy, pe }, point) => {
    if (pe !== expectation.pe || (asked.usable !== undefined && asked.usable[point] !== true)) return best;
    const missProbability = missProbabilityOf(expectation, unloadedMs(state, profile, point), timeLeftMs);
    return Math.max(best, accuracy * (1 - missProbability));
  }, 0);
}
