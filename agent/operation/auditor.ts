import { argmax, confidenceOf } from '../../shared/logits.ts';
import {
  type AuditOptions,
  type AuditState,
  auditDone,
  describeDrift,
  inferenceSeen,
  initialAudit,
  referencesOf,
  shouldAudit,
} from '../audit/audit.ts';
import { type AuditView, viewAudit, weighedAccuracies } from '../audit/estimate.ts';
import { keep, NONE_PENDING, type Pending, take } from '../audit/pending.ts';
import type { Engine } from '../engine/engine.ts';
import type { FrameAnswered } from '../runtime/loop.ts';
import type { OperatingPoint, Profile } from '../runtime/points.ts';
import type { References } from './audit-references.ts';
import type { Audited } from './listener.ts';

/** A drift alarm that begins or ends. */
export interface DriftChange {
  readonly state: 'begins' | 'ends';
  readonly level: number;
  readonly reason: string;
}

export interface AuditorDeps {
  readonly engine: Pick<Engine, 'run' | 'isWarm'>;
  readonly options: AuditOptions;
  /** Evenly distributed, 0 to below 1. */
  readonly random: () => number;
  readonly onDrift: (change: DriftChange) => void;
  readonly onAudited?: (audited: Audited) => void;
  /** It has become known what is usual of one more level. */
  readonly onLearnt: (references: References) => void;
}

/** Watches accuracy without labels: confidences of every inference, and some repeated by the largest level. */
export interface Auditor {
  /** Takes an inference in; its frame is copied when it is to be audited. */
  seen(answered: Pick<FrameAnswered, 'point' | 'logits' | 'pixels'>): void;
  /** Index of the point that the next audit runs on; undefined when none waits or the auditor is not loaded. */
  next(profile: Profile): number | undefined;
  /** Makes the audit that waits longest, on a point of the largest level; how long it ran, milliseconds. */
  audit(index: number): Promise<number>;
  /** Accuracies by level, lowered while there is an alarm. */
  accuracies(stated: readonly number[]): readonly number[];
  view(): AuditView & { readonly dropped: number };
}

interface Kept {
  readonly pixels: Uint8Array;
  readonly point: Pick<OperatingPoint, 'pe' | 'level'>;
  readonly answer: number;
}

/** Makes an auditor. */
export function createAuditor({
  engine,
  options,
  random,
  onDrift,
  onLearnt,
  onAudited,
}: AuditorDeps): Auditor {
  let state = initialAudit(options);
  let pending: Pending<Kept> = NONE_PENDING;

  const become = (next: AuditState): void => {
    const before = state.drift;
    const known = knownOf(state);
    state = next;
    if (knownOf(next) > known) onLearnt(referencesOf(next));
    if (before === undefined && next.drift !== undefined) {
      onDrift({ state: 'begins', level: next.drift.level, reason: describeDrift(next.drift) });
    } else if (before !== undefined && next.drift === undefined) {
      onDrift({ state: 'ends', level: before.level, reason: 'confidences and agreement are as usual again' });
    }
  };
  return {
    seen: ({ point, logits, pixels }) => {
      const { level } = point;
      become(inferenceSeen(state, level, confidenceOf(logits)));
      if (!shouldAudit(state, level, random())) return;
      pending = keep(pending, { pixels: Uint8Array.from(pixels), point, answer: argmax(logits) });
    },
    next: (profile) => {
      if (pending.frames.length === 0) return undefined;
      const index = profile.findIndex(({ level }, point) => level === state.auditor && engine.isWarm(point));
      return index < 0 ? undefined : index;
    },
    audit: async (index) => {
      const { frame, rest } = take(pending);
      pending = rest;
      if (frame === undefined) return 0;
      const { logits, totalMs } = await engine.run(index, frame.pixels);
      const agreed = argmax(logits) === frame.answer;
      const { pe, level } = frame.point;
      become(auditDone(state, { level, agreed, confidence: confidenceOf(logits) }));
      onAudited?.({ pe, level, agreed });
      return totalMs;
    },
    accuracies: (stated) => weighedAccuracies(state, stated),
    view: () => ({ ...viewAudit(state), dropped: pending.dropped }),
  };
}

/** Of how many levels it is known what is usual. */
function knownOf({ levels }: AuditState): number {
  return levels.filter(({ monitor }) => monitor.baseline !== undefined).length;
}
