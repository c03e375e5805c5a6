import { type Interval, wilson } from '../../shared/proportion.ts';
import { excessOf, NO_AGREEMENT, tallyOf } from './agreement.ts';
import { type AuditState, auditShare, type Drift, recentOf } from './audit.ts';
import { confidenceSequence } from './confidence-sequence.ts';
import { meanOf, quantilePlace, shareAbove } from './histogram.ts';

/** Accuracy without labels, top-1, 0..1. */
export interface AccuracyEstimate extends Interval {
  readonly estimate: number;
}

export interface LevelEstimate {
  /** Audits that are not forgotten, and those in which the auditor gave another answer. */
  readonly audits: number;
  readonly differed: number;
  /** Share of audits that agreed: at one look, and looked at all the time, each 95 %. */
  readonly agreement: { readonly share: number; readonly wilson: Interval; readonly anytime: Interval };
  /** Undefined without enough audits: nothing is made up. */
  readonly accuracy: AccuracyEstimate | undefined;
  /** Whether it is known what confidences of this level are usual. */
  readonly hasReference: boolean;
}

export interface AuditView {
  readonly drift: Drift | undefined;
  /** Share of inferences that are audited now. */
  readonly auditShare: number;
  /** Whether changes to a less accurate level should wait until audits have shown what it is worth now. */
  readonly freezeDown: boolean;
  readonly levels: readonly LevelEstimate[];
  readonly inferences: number;
  readonly audits: number;
  readonly ignored: number;
}

/** A level's interval is made of up to three things, each of which misses with at most a third of 5 %. */
const ALPHA = 0.05;
const PARTS = 3;
const Z_PART = 2.394;
/** Confidences, and audits, without which nothing is said of a level. */
const ENOUGH_CONFIDENCES = 50;
const ENOUGH_AUDITS = 20;
/** A freeze ends after so many audits; or inferences, on a device that is never idle. */
const FREEZE_AUDITS = 30;
const FREEZE_INFERENCES = 3_000;
/**
 * Off its distribution a network is surer than it is right: the true loss of accuracy is taken to lie
 * between half of what shows and three times as much. An assumption; none can be made
 * without one (Garg et al., ICLR 2022).
 */
const LEAST_LOSS = 0.5;
const MOST_LOSS = 3;

/** What the audits say. */
export function viewAudit(state: AuditState): AuditView {
  const { drift, inferences, audits, ignored } = state;
  const freezeDown =
    drift !== undefined && drift.audits < FREEZE_AUDITS && drift.inferences < FREEZE_INFERENCES;
  return {
    drift,
    auditShare: auditShare(state),
    freezeDown,
    levels: levelEstimates(state),
    inferences,
    audits,
    ignored,
  };
}

/**
 * The accuracies to weigh levels by: what is stated, and while there is an alarm at most the lower limit of
 * what is estimated in the field.
 *
 * As long as the intervals allow it, levels keep the distance that they are stated to have, or a level would
 * look worse than a smaller one for nothing but fewer audits. Without audits of a level since the alarm
 * nothing is invented: it loses what the next better level with audits has lost, or the one that no one
 * looked at would look the best. Before there are enough audits, or answers of the auditor, at all, everything
 * stays as stated.
 * @param stated by level, top-1, 0..1: the manifest's
 */
export function weighedAccuracies(state: AuditState, stated: readonly number[]): number[] {
  const auditor = state.levels[state.auditor];
  const answers = auditor === undefined ? 0 : recentOf(auditor).total;
  const isSeen = (state.drift?.audits ?? 0) >= ENOUGH_AUDITS || answers >= ENOUGH_CONFIDENCES;
  if (state.drift === undefined || !isSeen) return [...stated];
  const estimates = levelEstimates(state);
  const order = [...stated.keys()].sort((a, b) => (stated[a] ?? 0) - (stated[b] ?? 0));
  const losses = new Map<number, number>();
  let lost = 1;
  for (const level of order) {
    const accuracy = estimates[level]?.accuracy;
    if (accuracy === undefined) continue;
    const claim = stated[level] ?? 0;
    const weighed = Math.max(accuracy.low, Math.min(accuracy.high, claim - lost));
    lost = Math.max(0, claim - weighed);
    losses.set(level, lost);
  }
  const weighed = [...stated];
  for (const level of order.toReversed()) {
    lost = losses.get(level) ?? lost;
    weighed[level] = limited((stated[level] ?? 0) - lost);
  }
  return weighed;
}

/**
 * The auditor's accuracy: by its own confidences; while it has no reference, that of the level with the most
 * confidences of late, from which it lies at most their disagreement apart; without that, the manifest's.
 */
function auditorAccuracy(state: AuditState): AccuracyEstimate {
  const own = confidentAccuracy(state, state.auditor);
  if (own !== undefined) return own;
  const stated = statedAccuracy(state, state.auditor);
  const known = { estimate: stated.accuracy, low: stated.low, high: stated.high };
  const counts = state.levels.map((of) => (of.monitor.baseline === undefined ? 0 : recentOf(of).total));
  const level = counts.indexOf(Math.max(...counts));
  const other = confidentAccuracy(state, level);
  const { audits, differed } = tallyOf(state.levels[level]?.agreement ?? NO_AGREEMENT);
  if (other === undefined || audits < ENOUGH_AUDITS) return known;
  const { high: apart } = confidenceSequence(differed, audits, ALPHA / PARTS);
  return {
    estimate: limited(stated.accuracy + other.estimate - statedAccuracy(state, level).accuracy),
    low: limited(other.low - apart),
    high: limited(other.high + apart),
  };
}

/**
 * A level's accuracy from its own confidences: ATC (Garg et al., ICLR 2022). Its threshold is the confidence
 * that as much of the reference lies below of as the level is wrong by its manifest; the share of recent
 * confidences above it is the estimate. The interval has the manifest's own, that of the sample (looked at
 * all the time), and between half and three times the loss that shows: by the threshold, by the mean
 * confidence (DoC; Guillory et al., ICCV 2021) or by disagreement beyond the usual, whichever shows most.
 */
function confidentAccuracy(state: AuditState, level: number): AccuracyEstimate | undefined {
  const { accuracy, low, high } = statedAccuracy(state, level);
  const loss = lossOf(state, level);
  if (loss === undefined) return undefined;
  const excesses = (level === state.auditor ? state.levels : state.levels.slice(level, level + 1)).map(
    ({ agreement }) => excessOf(agreement, ENOUGH_AUDITS),
  );
  const excess = Math.max(...excesses);
  const estimate = limited(accuracy - loss.atc);
  const seen = Math.max(0, loss.atc, loss.confidence, excess);
  const sampled = confidenceSequence(estimate * loss.count, loss.count, ALPHA / PARTS);
  return {
    estimate,
    low: limited(sampled.low - loss.error - (accuracy - low) - (MOST_LOSS - 1) * seen),
    high: limited(sampled.high + loss.error + (high - accuracy) + LEAST_LOSS * seen),
  };
}

/** The manifest's; taken at its word where it does not say on how many images it was measured. */
function statedAccuracy({ settings }: AuditState, level: number): Interval & { readonly accuracy: number } {
  const { accuracy, accuracyImages = 0 } = settings.levels[level] ?? { accuracy: 0 };
  const known = accuracyImages === 0 ? undefined : wilson(accuracy * accuracyImages, accuracyImages);
  return { accuracy, low: known?.low ?? accuracy, high: known?.high ?? accuracy };
}

/** How much less sure a level is than its reference. */
interface Loss {
  /** By the share above the threshold. */
  readonly atc: number;
  /** By the mean confidence. */
  readonly confidence: number;
  /** How many independent confidences it is from. */
  readonly count: number;
  /** Of the threshold, as the reference is a sample too. */
  readonly error: number;
}

function lossOf({ levels, settings }: AuditState, level: number): Loss | undefined {
  const of = levels[level];
  const accuracy = settings.levels[level]?.accuracy ?? 0;
  const baseline = of?.monitor.baseline;
  if (of === undefined || baseline === undefined) return undefined;
  const recent = recentOf(of);
  if (recent.total < ENOUGH_CONFIDENCES) return undefined;
  const place = quantilePlace(baseline.histogram, 1 - accuracy);
  const variance = accuracy * (1 - accuracy);
  return {
    atc: accuracy - shareAbove(recent, place),
    confidence: baseline.mean - meanOf(recent),
    count: recent.total * baseline.independence,
    error: Z_PART * Math.sqrt(variance / (baseline.histogram.total * baseline.independence)),
  };
}

function levelEstimates(state: AuditState): LevelEstimate[] {
  const auditor = auditorAccuracy(state);
  return state.levels.map((of, level) => {
    const { audits, differed } = tallyOf(of.agreement);
    return {
      audits,
      differed,
      agreement: {
        share: audits === 0 ? 1 : 1 - differed / audits,
        wilson: wilson(audits - differed, audits),
        anytime: confidenceSequence(audits - differed, audits, ALPHA),
      },
      accuracy: level === state.auditor ? auditor : audited(state, level, auditor),
      hasReference: of.monitor.baseline !== undefined,
    };
  });
}

/**
 * Two answers that are the same are both right or both wrong, so that accuracies differ by no more than the
 * disagreement d: |acc - accAuditor| <= d. Within it the estimate is accAuditor - kappa d. The level's own
 * confidences narrow this where they do not contradict it.
 */
function audited(state: AuditState, level: number, auditor: AccuracyEstimate): AccuracyEstimate | undefined {
  const { audits, differed } = tallyOf(state.levels[level]?.agreement ?? NO_AGREEMENT);
  if (audits < ENOUGH_AUDITS) return undefined;
  const kappa = Math.min(1, Math.max(-1, state.settings.kappas[level] ?? 1));
  const apart = confidenceSequence(differed, audits, ALPHA / PARTS).high;
  const bound = { low: limited(auditor.low - apart), high: limited(auditor.high + apart) };
  const own = confidentAccuracy(state, level) ?? bound;
  const both = { low: Math.max(bound.low, own.low), high: Math.min(bound.high, own.high) };
  const { low, high } = both.low <= both.high ? both : bound;
  const estimate = auditor.estimate - (kappa * differed) / audits;
  return { estimate: Math.min(high, Math.max(low, estimate)), low, high };
}

function limited(share: number): number {
  return Math.min(1, Math.max(0, share));
}
