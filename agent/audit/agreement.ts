import { type Interval, wilson } from '../../shared/proportion.ts';
import { slopeOf } from './baseline.ts';

/** Audits, and those in which the auditor gave another answer. */
export interface Tally {
  readonly audits: number;
  readonly differed: number;
}

/**
 * Agreement of one level with the auditor. Audits are forgotten by blocks, the older one as a whole when the
 * newer is full: what is left are plain counts of equal weight, for which Wilson's interval and the
 * confidence sequence (begun with the older block) hold as they are. Exponential weights would break both.
 */
export interface Agreement {
  readonly older: Tally;
  readonly newer: Tally;
  /** The first audits of all: what is usual. */
  readonly usual: Tally;
  /** Page-Hinkley: how far the sum of disagreements lies above its lowest value. */
  readonly risen: number;
}

const NOTHING: Tally = { audits: 0, differed: 0 };
export const NO_AGREEMENT: Agreement = { older: NOTHING, newer: NOTHING, usual: NOTHING, risen: 0 };

/** Audits of a block: one to two blocks hold a disagreement of 15 % within 3 points. */
const BLOCK = 500;
/** The usual disagreement is taken for known from the first of these numbers of audits, and learnt up to the second. */
const USUAL = 50;
const USUAL_MOST = 100;
/** A rise of the disagreement by less than this is no drift. */
const TOLERANCE = 0.05;

/** Audits that are not forgotten. */
export function tallyOf({ older, newer }: Agreement): Tally {
  return { audits: older.audits + newer.audits, differed: older.differed + newer.differed };
}

/** Forgets all audits but what is usual. */
export function forgotten({ usual }: Agreement): Agreement {
  return { ...NO_AGREEMENT, usual };
}

/**
 * Takes in one audit.
 * @param evidence what the logarithm of the evidence against the usual disagreement must reach: ln(N / alpha)
 * @param mayLearn whether it may count for what is usual
 * @returns `hasRisen` when the disagreement has risen (Page-Hinkley)
 */
export function audited(
  agreement: Agreement,
  agreed: boolean,
  { evidence, mayLearn }: { readonly evidence: number; readonly mayLearn: boolean },
): { readonly agreement: Agreement; readonly hasRisen: boolean } {
  const isFull = agreement.newer.audits >= BLOCK;
  const older = isFull ? agreement.newer : agreement.older;
  const newer = counted(isFull ? NOTHING : agreement.newer, agreed);
  const isLearning = mayLearn && agreement.usual.audits < USUAL_MOST;
  const usual = isLearning ? counted(agreement.usual, agreed) : agreement.usual;
  const next = { older, newer, usual, risen: 0 };
  if (agreement.usual.audits < USUAL) return { agreement: next, hasRisen: false };
  const most = usualLimits(agreement).high + TOLERANCE;
  const risen = Math.max(0, agreement.risen + (agreed ? 0 : 1) - most);
  const slope = slopeOf([
    { value: 1 - most, share: most - TOLERANCE },
    { value: -most, share: 1 - most + TOLERANCE },
  ]);
  const hasRisen = risen * slope > evidence;
  return { agreement: { ...next, risen: hasRisen ? 0 : risen }, hasRisen };
}

/**
 * What of an audit is more than usual: its disagreement less the usual share, and the variance of that, so
 * that audits of several levels can be added up. Nothing while it is not known what is usual.
 */
export function surplusOf(agreement: Agreement, agreed: boolean): { excess: number; variance: number } {
  if (agreement.usual.audits < USUAL) return { excess: 0, variance: 0 };
  const { high } = usualLimits(agreement);
  return { excess: (agreed ? 0 : 1) - high, variance: high * (1 - high) };
}

/** Disagreement beyond the usual, 0..1; all of it while it is not known what is usual, 0 of few audits. */
export function excessOf(agreement: Agreement, enough: number): number {
  const { audits, differed } = tallyOf(agreement);
  const { usual } = agreement;
  if (audits < enough) return 0;
  return Math.max(0, differed / audits - (usual.audits < USUAL ? 0 : usual.differed / usual.audits));
}

/** From few audits, so its upper limit is what a rise is measured from. */
function usualLimits({ usual }: Agreement): Interval {
  return wilson(usual.differed, usual.audits);
}

function counted({ audits, differed }: Tally, agreed: boolean): Tally {
  return { audits: audits + 1, differed: differed + (agreed ? 0 : 1) };
}
