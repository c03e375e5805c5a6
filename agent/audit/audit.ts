import { invariant } from '../../shared/errors.ts';
import { type Agreement, audited, forgotten, NO_AGREEMENT, surplusOf } from './agreement.ts';
import type { Reference } from './baseline.ts';
import { added, EMPTY, type Histogram, merged } from './histogram.ts';
import {
  type Finding,
  type Monitor,
  type MonitorLimits,
  monitored,
  newMonitor,
  restarted,
} from './monitor.ts';

/** What the manifest says of a level. */
export interface StatedAccuracy {
  /** Top-1, 0..1. */
  readonly accuracy: number;
  /** How many labelled images it was measured on. */
  readonly accuracyImages?: number | undefined;
}

export interface AuditOptions {
  /** In the family's order. The most accurate one is the auditor. */
  readonly levels: readonly StatedAccuracy[];
  /** Confidences of each level from a time when nothing was wrong; learnt where there are none. */
  readonly references?: readonly (Reference | undefined)[];
  /** By level, from labelled data: accuracy lost for each share of disagreement, -1..1; 1 is the worst case. */
  readonly kappas?: readonly number[];
  /** Share of inferences that are audited, usually and while there is an alarm. */
  readonly share?: number;
  readonly alarmShare?: number;
  /** Confidences that a level's reference is learnt from. */
  readonly referenceCount?: number;
  /** Confidences of a window. */
  readonly windowCount?: number;
  /** Probability of any false alarm within `horizonWindows` windows of every level. */
  readonly falseAlarm?: number;
  readonly horizonWindows?: number;
}

type Settings = Required<AuditOptions>;

const DEFAULTS = {
  references: [],
  kappas: [],
  share: 0.01,
  alarmShare: 0.1,
  referenceCount: 1_000,
  windowCount: 100,
  falseAlarm: 0.01,
  horizonWindows: 2_000,
} as const;

/** What is known of one level. */
export interface LevelAudit {
  readonly monitor: Monitor;
  readonly agreement: Agreement;
  /** Confidences of late, in two blocks: the older one goes when the newer is full. */
  readonly older: Histogram;
  readonly newer: Histogram;
}

/** An alarm: what is seen is no longer what it was. */
export interface Drift {
  /** What gave the alarm: windows of confidences, their mean, or disagreement with the auditor. */
  readonly by: 'distribution' | 'mean' | 'disagreement';
  readonly level: number;
  /** Inferences and audits since it began. */
  readonly inferences: number;
  readonly audits: number;
  readonly usual: UsualStretch;
}

/** How long everything has looked as usual while there is an alarm. */
interface UsualStretch {
  /** Windows in a row that look as the reference, and the sum of their shifts in standard deviations. */
  readonly windows: number;
  readonly shifts: number;
  /** Disagreement of the audits in this time beyond the usual, and the variance of that sum. */
  readonly excess: number;
  readonly variance: number;
}

/** State of the audits. Plain data; bounded, whatever comes. */
export interface AuditState {
  readonly settings: Settings;
  /** Index of the level that repeats inferences. */
  readonly auditor: number;
  readonly levels: readonly LevelAudit[];
  readonly drift: Drift | undefined;
  readonly inferences: number;
  readonly audits: number;
  /** Inferences and audits of no known level, or without a confidence within 0..1. */
  readonly ignored: number;
}

/** One audit that was done. */
export interface AuditDone {
  /** Of the inference that was repeated. */
  readonly level: number;
  /** Whether the auditor's answer is the same. */
  readonly agreed: boolean;
  /** Of the auditor's answer, 0..1. */
  readonly confidence: number;
}

/** Confidences of a block of late ones. */
const RECENT = 1_000;
const NOT_USUAL: UsualStretch = { windows: 0, shifts: 0, excess: 0, variance: 0 };
/** Windows in a row, of any levels, after which an alarm ends if they look as usual together too. */
const USUAL_WINDOWS = 5;
/** How much their mean may lie below the reference's, standard deviations: half of what begins an alarm. */
const USUAL_SHIFT = -0.125;
/** How far disagreement may lie above the usual, standard deviations. */
const USUAL_EXCESS = 2;
/** Of each level: windows, long windows, the mean and the disagreement. */
const TESTS = 4;
/** The auditor runs for audits alone on a device that never needs it, so its reference is made of less. */
const AUDITOR_REFERENCE = 0.3;

/** @param options at least one level */
export function initialAudit(options: AuditOptions): AuditState {
  const { levels, references = [] } = options;
  invariant(levels.length > 0, 'audits are of a family with levels');
  const best = Math.max(...levels.map(({ accuracy }) => accuracy));
  return {
    settings: { ...DEFAULTS, ...options },
    auditor: levels.findLastIndex(({ accuracy }) => accuracy === best),
    levels: levels.map((_, level) => ({
      monitor: newMonitor(references[level]),
      agreement: NO_AGREEMENT,
      older: EMPTY,
      newer: EMPTY,
    })),
    drift: undefined,
    inferences: 0,
    audits: 0,
    ignored: 0,
  };
}

/** Share of inferences to audit at the moment. */
export function auditShare({ drift, settings }: AuditState): number {
  return drift === undefined ? settings.share : settings.alarmShare;
}

/**
 * Whether an inference is to be repeated by the auditor. Chance alone decides: chosen by confidence, audits
 * would say nothing of the rest.
 * @param random evenly distributed, 0 to below 1
 */
export function shouldAudit(state: AuditState, level: number, random: number): boolean {
  return level !== state.auditor && state.levels[level] !== undefined && random < auditShare(state);
}

/** Takes in the confidence, 0..1, of an inference. */
export function inferenceSeen(state: AuditState, level: number, confidence: number): AuditState {
  const drift =
    state.drift === undefined ? undefined : { ...state.drift, inferences: state.drift.inferences + 1 };
  const counted = { ...state, drift, inferences: state.inferences + 1 };
  return withConfidence(counted, level, confidence) ?? { ...counted, ignored: state.ignored + 1 };
}

/** Takes in an audit that was done. */
export function auditDone(state: AuditState, { level, agreed, confidence }: AuditDone): AuditState {
  const of = state.levels[level];
  const seen = withConfidence(state, state.auditor, confidence);
  if (of === undefined || level === state.auditor || seen === undefined) {
    return { ...state, ignored: state.ignored + 1 };
  }
  const { windowCount, horizonWindows, falseAlarm } = limitsOf(state, level);
  const evidence = Math.log((horizonWindows * windowCount * state.settings.share) / falseAlarm);
  const mayLearn = seen.drift === undefined;
  const { agreement, hasRisen } = audited(of.agreement, agreed, { evidence, mayLearn });
  const drift = seen.drift === undefined ? undefined : auditedDrift(seen.drift, of.agreement, agreed);
  // The auditor's confidence may have begun or ended an alarm, and then this audit is of the time before.
  const isSameTime = (seen.drift === undefined) === (state.drift === undefined);
  const levels = isSameTime ? withLevel(seen, level, { agreement }) : seen.levels;
  const next = { ...seen, levels, drift, audits: state.audits + 1 };
  return hasRisen ? alarmed(next, 'disagreement', level) : next;
}

/** The references learnt so far, to be kept and handed in again after a restart. */
export function referencesOf({ levels }: AuditState): readonly (Reference | undefined)[] {
  return levels.map(({ monitor }) => (monitor.baseline === undefined ? undefined : monitor.reference));
}

/** What gave an alarm, in words. */
export function describeDrift({ by, level }: Drift): string {
  if (by === 'disagreement')
    return `level ${level} disagrees with the most accurate level more than it used to`;
  if (by === 'mean') return `level ${level} is less sure than it used to be`;
  return `level ${level} is not as sure of its answers as it used to be, more or less so`;
}

/** Confidences of late. */
export function recentOf({ older, newer }: LevelAudit): Histogram {
  return merged(older, newer);
}

function auditedDrift(drift: Drift, agreement: Agreement, agreed: boolean): Drift {
  const { excess, variance } = surplusOf(agreement, agreed);
  const { usual } = drift;
  return {
    ...drift,
    audits: drift.audits + 1,
    usual: { ...usual, excess: usual.excess + excess, variance: usual.variance + variance },
  };
}

function limitsOf({ settings, levels, auditor }: AuditState, level: number): MonitorLimits {
  const { referenceCount, windowCount, falseAlarm, horizonWindows } = settings;
  const part = level === auditor ? AUDITOR_REFERENCE : 1;
  return {
    referenceCount: Math.ceil(referenceCount * part),
    windowCount,
    falseAlarm: falseAlarm / TESTS / levels.length,
    horizonWindows,
  };
}

/** Undefined when there is no such level, or it is no confidence. */
function withConfidence(state: AuditState, level: number, confidence: number): AuditState | undefined {
  const of = state.levels[level];
  if (of === undefined || !(confidence >= 0 && confidence <= 1)) return undefined;
  const mayLearn = state.drift === undefined;
  const { monitor, finding } = monitored(of.monitor, confidence, {
    limits: limitsOf(state, level),
    mayLearn,
  });
  const isFull = of.newer.total >= RECENT;
  const changed = {
    monitor,
    older: isFull ? of.newer : of.older,
    newer: added(isFull ? EMPTY : of.newer, confidence),
  };
  const next = { ...state, levels: withLevel(state, level, changed) };
  return finding === undefined ? next : found(next, level, finding);
}

function withLevel(state: AuditState, level: number, changed: Partial<LevelAudit>): readonly LevelAudit[] {
  return state.levels.map((of, index) => (index === level ? { ...of, ...changed } : of));
}

function found(state: AuditState, level: number, finding: Finding): AuditState {
  const { drift } = state;
  if (finding.kind === 'differs') return alarmed(state, finding.by, level);
  if (drift === undefined) return state;
  if (finding.kind === 'unclear') return { ...state, drift: { ...drift, usual: NOT_USUAL } };
  const { usual } = drift;
  const stretch = { ...usual, windows: usual.windows + 1, shifts: usual.shifts + finding.shift };
  if (stretch.windows < USUAL_WINDOWS) return { ...state, drift: { ...drift, usual: stretch } };
  return isUsual(stretch)
    ? { ...state, drift: undefined, levels: state.levels.map(anew) }
    : { ...state, drift: { ...drift, usual: NOT_USUAL } };
}

/** What began an alarm must be gone, and not only be too small for one window to show. */
function isUsual({ windows, shifts, excess, variance }: UsualStretch): boolean {
  return shifts / windows >= USUAL_SHIFT && excess <= USUAL_EXCESS * Math.sqrt(variance);
}

/** Begins an alarm, or says again that one that is on is right. */
function alarmed(state: AuditState, by: Drift['by'], level: number): AuditState {
  if (state.drift !== undefined) return { ...state, drift: { ...state.drift, usual: NOT_USUAL } };
  const drift = { by, level, inferences: 0, audits: 0, usual: NOT_USUAL };
  return { ...state, drift, levels: state.levels.map(anew) };
}

/** What was seen on the other side of the begin or end of an alarm says nothing of this one. */
function anew(of: LevelAudit): LevelAudit {
  return {
    monitor: restarted(of.monitor),
    agreement: forgotten(of.agreement),
    older: EMPTY,
    newer: EMPTY,
  };
}
