import type { Limit, Requirement } from '../../../shared/protocol/requirement.ts';
import type { ProcessingElement } from '../../../shared/protocol/window.ts';
import type { OperatingPoint } from '../points.ts';
import type { Option } from './choose.ts';
import { type Element, type Outlook, outlookOf, probabilityBeyond, slowdownAt } from './element.ts';
import type { Charge, Tightness } from './surcharge.ts';

/** What is expected of one processing element at a decision. */
export interface Expectation {
  readonly pe: ProcessingElement;
  readonly element: Element;
  readonly outlook: Outlook;
  /** Slowdown at the asked share of misses. */
  readonly slowdownAtShare: number;
}

/** What a decision asks of every point. */
export interface Asked {
  readonly requirement: Requirement;
  readonly timeLeftMs: number;
  readonly missShare: number;
  /** Accuracy per joule: the fleet's price. */
  readonly price: number;
  /** What the device's own limits add. */
  readonly charge: Charge;
  /** Whether the energy of any point is known: else a price on it says nothing. */
  readonly energyIsKnown: boolean;
  /** The least that a usable point costs, joules. */
  readonly leastJ: number;
  /** Point of the last inference. */
  readonly current: number | undefined;
  readonly usable: readonly boolean[] | undefined;
}

/** A smaller share of misses than this cannot be told from a sample of some hundred inferences. */
const LEAST_SHARE = 0.001;
/** The level that is used may be late a little more often than one that is to be chosen, or levels would flap. */
const STAYS_UP_TO = 2;

interface ExpectedAt {
  readonly nowMs: number;
  readonly missShare: number;
}

/** What is expected of a processing element for a frame that starts now. */
export function expectationOf(pe: ProcessingElement, element: Element, at: ExpectedAt): Expectation {
  const { nowMs, missShare } = at;
  const outlook = outlookOf(element, nowMs);
  return { pe, element, outlook, slowdownAtShare: slowdownAt(element, outlook, missShare) };
}

/** Probability that a point ends after the time that is left. */
export function missProbabilityOf(
  { element, outlook }: Expectation,
  latencyMs: number,
  timeLeftMs: number,
): number {
  if (timeLeftMs <= 0) return 1;
  return Math.min(1, probabilityBeyond(element, outlook, Math.log(timeLeftMs / latencyMs)));
}

/** A point in question. */
export interface PointAsked {
  readonly point: number;
  readonly of: OperatingPoint;
  /** Without load, corrected. */
  readonly latencyMs: number;
  /** Energy, known or assumed, joules. */
  readonly cost: number;
}

/** What is expected of a point, and which limits it would break. */
export function optionOf(
  asked: Asked,
  expectation: Expectation,
  { point, of, latencyMs, cost }: PointAsked,
): Option {
  const missProbability = missProbabilityOf(expectation, latencyMs, asked.timeLeftMs);
  const breaks = limitsBroken(asked, { point, missProbability, accuracy: of.accuracy, cost });
  const worth = of.accuracy * (1 - missProbability);
  const unusable = asked.usable !== undefined && asked.usable[point] !== true;
  return {
    point,
    predictedMs: latencyMs * expectation.slowdownAtShare,
    missProbability,
    energyJ: of.energyJ,
    value: worth - (asked.energyIsKnown ? asked.price * cost : 0) - asked.charge.price * cost,
    excludedBy: unusable ? 'unusable' : breaks[0],
    accuracy: of.accuracy,
    costJ: cost,
    breaks,
  };
}

interface Judged {
  readonly point: number;
  readonly missProbability: number;
  readonly accuracy: number;
  readonly cost: number;
}

const NONE: readonly Limit[] = [];

function limitsBroken(asked: Asked, { point, missProbability, accuracy, cost }: Judged): readonly Limit[] {
  const { energy, temperature } = asked.charge;
  const mayMiss = Math.max(LEAST_SHARE, asked.missShare) * (point === asked.current ? STAYS_UP_TO : 1);
  const isDear = cost > asked.leastJ;
  const isLate = missProbability > mayMiss;
  const isInaccurate = accuracy < (asked.requirement.accuracyFloor ?? 0);
  const isHot = isOver(temperature, isDear);
  const isSpent = isOver(energy, isDear);
  if (!isLate && !isInaccurate && !isHot && !isSpent) return NONE;
  const broken: Limit[] = [];
  if (isHot) broken.push('temperature');
  if (isLate) broken.push('latency');
  if (isInaccurate) broken.push('accuracy');
  if (isSpent) broken.push('energy');
  return broken;
}

function isOver(limit: Tightness, isDear: boolean): boolean {
  return limit === 'broken' || (isDear && limit === 'tight');
}
