import type { Limit } from '../../../shared/protocol/requirement.ts';
import type { Candidate, Cause } from '../policy.ts';

/** A candidate with what choosing among candidates needs. */
export interface Option extends Candidate {
  readonly accuracy: number;
  /** What it takes of the energy budget and heats, joules; stands for energy where none is known. */
  readonly costJ: number;
  /** Limits that it does not meet. */
  readonly breaks: readonly Limit[];
}

export interface Choice {
  readonly option: Option;
  readonly cause: Cause;
  readonly gaveWay: readonly Limit[];
}

export interface ChoiceRules {
  /** Limits, the one to keep longest first. */
  readonly order: readonly Limit[];
  /** Point of the last inference, and for about how many it was not left. */
  readonly current: number | undefined;
  readonly held: number;
  /** No climb to this accuracy or above. */
  readonly climbsBelow: number;
  /** Between the least and the most accurate point of the family. */
  readonly accuracyRange: number;
  readonly energyHasPrice: boolean;
  /** Whether load is expected to come back now. */
  readonly loadExpected: boolean;
}

/** Part of a family's range of accuracy that a move must gain: less is within what the estimates know. */
const MOVE_GAINS = 0.09;
/** A gain that is still there after so many inferences is real. */
const DOUBT_FADES = 75;
/** What a move must gain however long the point was held, and where all points are equally accurate. */
const LEAST_GAIN = 0.0005;
/** Of what a move must gain, what one for the sake of the price needs. */
const PRICED = 0.1;
/** If even the fastest is late more often than not, being late by as little as possible is all that is left. */
const HOPELESS = 0.5;

/**
 * Chooses among options: those that meet the limits, as many of them as can be met in the order of their
 * priority, and of those the one of the highest value. The point of the last inference is left only for a gain
 * that is more than noise.
 * @returns undefined when no option is usable
 */
export function choose(options: readonly Option[], rules: ChoiceRules): Choice | undefined {
  const usable = options.filter(({ excludedBy }) => excludedBy !== 'unusable');
  const { pool, gaveWay } = narrow(usable, rules.order);
  const best = highest(pool);
  if (best === undefined) return undefined;
  const held = pool.find(({ point }) => point === rules.current);
  if (held === undefined || held === best)
    return { option: best, cause: causeOf(best, usable, rules, gaveWay), gaveWay };
  const ceiling = Math.max(held.accuracy, rules.climbsBelow);
  const free =
    highest(pool.filter(({ accuracy }) => accuracy < ceiling || accuracy <= held.accuracy)) ?? held;
  const isWorth = (option: Option): boolean => option.value - held.value >= gainNeeded(option, held, rules);
  const option = free !== held && isWorth(free) ? free : held;
  const isBarred = free !== best && option.accuracy < best.accuracy && isWorth(best);
  const cause = isBarred && gaveWay.length === 0 ? 'gain-must-last' : causeOf(option, usable, rules, gaveWay);
  return { option, cause, gaveWay };
}

/** Less and less the longer the point is held; for the sake of a price, which is held itself, little. */
function gainNeeded(
  to: Option,
  held: Option,
  { energyHasPrice, accuracyRange, held: inferences }: ChoiceRules,
): number {
  const needed = accuracyRange * MOVE_GAINS * Math.exp(-inferences / DOUBT_FADES);
  return Math.max(LEAST_GAIN, needed * (energyHasPrice && to.costJ < held.costJ ? PRICED : 1));
}

/** What is left when the limits are applied in their order, and those that left nothing. */
function narrow(
  usable: readonly Option[],
  order: readonly Limit[],
): { readonly pool: readonly Option[]; readonly gaveWay: readonly Limit[] } {
  let pool = usable;
  const gaveWay: Limit[] = [];
  for (const limit of order) {
    const meets = pool.filter(({ breaks }) => !breaks.includes(limit));
    if (meets.length === 0 && pool.length > 0) gaveWay.push(limit);
    pool = meets.length > 0 ? meets : nearest(pool, limit);
  }
  return { pool, gaveWay };
}

/**
 * Of options that all break a limit, those that come nearest to it. When all are late too often all are left:
 * their values weigh how often.
 */
function nearest(pool: readonly Option[], limit: Limit): readonly Option[] {
  const by = (measure: (option: Option) => number): readonly Option[] => {
    const least = Math.min(...pool.map(measure));
    return pool.filter((option) => measure(option) <= least);
  };
  switch (limit) {
    case 'latency':
      return pool.every(({ missProbability }) => missProbability > HOPELESS)
        ? by(({ predictedMs }) => predictedMs)
        : pool;
    case 'accuracy':
      return by(({ accuracy }) => -accuracy);
    default:
      return by(({ costJ }) => costJ);
  }
}

/** Highest value; of equals the faster one. */
function highest(pool: readonly Option[]): Option | undefined {
  let best: Option | undefined;
  for (const option of pool) {
    if (
      best === undefined ||
      option.value > best.value ||
      (option.value === best.value && option.predictedMs < best.predictedMs)
    ) {
      best = option;
    }
  }
  return best;
}

/** What keeps the chosen one from being a more accurate one. */
function causeOf(
  chosen: Option,
  usable: readonly Option[],
  rules: ChoiceRules,
  gaveWay: readonly Limit[],
): Cause {
  if (gaveWay.length > 0) return 'gave-way';
  let top = chosen;
  for (const option of usable) if (option.accuracy > top.accuracy) top = option;
  if (top === chosen) return 'best';
  const [limit] = top.breaks;
  if (limit === 'latency' && rules.loadExpected) return 'load-expected';
  if (limit !== undefined) return `${limit}-binds`;
  if (goodput(top) <= goodput(chosen)) return 'latency-binds';
  return rules.energyHasPrice ? 'price-binds' : 'gain-must-last';
}

function goodput({ accuracy, missProbability }: Option): number {
  return accuracy * (1 - missProbability);
}
