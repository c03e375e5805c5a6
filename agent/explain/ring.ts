import type { ExplainedDecision, InferenceSummary } from '../../shared/protocol/explanation.ts';
import { createInferenceRing, type InferenceRecord } from './inference-ring.ts';
import { type DecisionSeen, recordOf } from './record.ts';

/** What is asked of the ring; times are milliseconds since the epoch. */
export interface DecisionQuery {
  /** Around which time; without it, the newest. */
  readonly at?: number | undefined;
  /** Nothing older than this, but what was in force then. */
  readonly since?: number | undefined;
  readonly limit: number;
}

/** What this device did and why: the newest of it, in bounded memory, lost at a restart. */
export interface ExplainRing {
  /** Notes an inference; called for every one. */
  inference(record: InferenceRecord): void;
  /** Notes a switch, the begin or end of a violation, or a frame that was shed. */
  decision(seen: DecisionSeen): void;
  /** The newest inferences, oldest first. */
  inferences(limit: number, since?: number): InferenceRecord[];
  /** What was measured around a time. */
  around(at: number): InferenceSummary;
  /** Decisions that answer a question, oldest first. */
  decisions(query: DecisionQuery): ExplainedDecision[];
  /** Time of the oldest decision that is still known. */
  oldestTs(): number | undefined;
}

export interface RingSizes {
  readonly inferences: number;
  readonly decisions: number;
  /** Candidates of all decisions together: what bounds the memory for families with many points. */
  readonly candidates: number;
}

/** About 15 minutes of inferences at 25 frames a second in 0.8 MB, and decisions in at most some 10 MB. */
const SIZES: RingSizes = { inferences: 24_000, decisions: 2_000, candidates: 40_000 };
/** Half of the time that `around` speaks of. */
const AROUND_MS = 5_000;

/** Makes an empty ring. */
export function createExplainRing(sizes: RingSizes = SIZES): ExplainRing {
  const ring = createInferenceRing(sizes.inferences);
  let kept: ExplainedDecision[] = [];
  let candidates = 0;
  return {
    inference: ring.add,
    decision: (seen) => {
      const record = recordOf(seen);
      kept.push(record);
      candidates += record.candidates.length;
      let forgotten = 0;
      while (kept.length - forgotten > sizes.decisions || candidates > sizes.candidates) {
        candidates -= kept[forgotten]?.candidates.length ?? 0;
        forgotten += 1;
      }
      if (forgotten > 0) kept = kept.slice(forgotten);
    },
    inferences: ring.newest,
    around: (at) => ring.summary(at - AROUND_MS, at + AROUND_MS),
    decisions: (query) => select(kept, query),
    oldestTs: () => kept[0]?.ts,
  };
}

/**
 * The decisions that answer a question. Around a time they are those before it, the last switch among them in
 * any case (it is why the level of that time ran), and those after it: half of all, or more where few came before.
 */
function select(kept: readonly ExplainedDecision[], query: DecisionQuery): ExplainedDecision[] {
  const { at, since = Number.NEGATIVE_INFINITY, limit } = query;
  const recent = kept.filter(({ ts }) => ts >= since);
  if (at === undefined) return recent.slice(-limit);
  const after = recent.filter(({ ts }) => ts > at);
  const before = recent.filter(({ ts }) => ts <= at);
  const inForce = kept.findLast(({ kind, ts }) => kind === 'switch' && ts <= at);
  const room = Math.max(1, limit - Math.min(after.length, Math.floor(limit / 2)));
  const nearest = before.slice(-room);
  const others = nearest.length < room ? nearest : nearest.slice(1);
  const first = inForce === undefined || nearest.includes(inForce) ? nearest : [inForce, ...others];
  return [...first, ...after.slice(0, limit - first.length)];
}
