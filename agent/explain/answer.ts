import { formatTime } from '../../shared/cli/format.ts';
import {
  type ExplainedDecision,
  type Explanation,
  MAX_EXPLAINED,
} from '../../shared/protocol/explanation.ts';
import type { DecisionQuery, ExplainRing } from './ring.ts';
import { describeRecord, describeSummary } from './words.ts';

/** Told when no one says how many. */
const DEFAULT_LIMIT = 5;
/** Words and data together: a message of the protocol is at most 128 KiB, and its envelope takes some. */
const MAX_ANSWER_BYTES = 100 * 1_024;

/** An explanation in words and as data. */
export interface ExplainAnswer {
  readonly lines: string[];
  readonly explanation: Explanation;
}

/**
 * Answers a question about this device's decisions. The answer fits a message of the protocol: what is furthest
 * from the time that was asked for is left out, and it is said how much.
 * @param now wall clock, milliseconds since the epoch
 */
export function explain(
  ring: ExplainRing,
  { at, since, limit = DEFAULT_LIMIT }: Partial<DecisionQuery>,
  now: number,
): ExplainAnswer {
  const asked = ring.decisions({ at, since, limit: Math.min(limit, MAX_EXPLAINED) });
  const told = fitting(asked, at ?? now);
  const oldestTs = ring.oldestTs();
  const around = at === undefined ? undefined : ring.around(at);
  const leftOut = asked.length - told.length;
  return {
    explanation: {
      ts: now,
      ...(at === undefined ? {} : { at }),
      ...(oldestTs === undefined ? {} : { oldestTs }),
      decisions: told.map(({ record }) => record),
      ...(around === undefined ? {} : { around }),
      ...(leftOut > 0 ? { leftOut } : {}),
    },
    lines: [
      ...told.flatMap(({ lines }) => lines),
      ...(around === undefined ? [] : [describeSummary(around)]),
      ...(leftOut > 0 ? [`${leftOut} decisions are left out: ask for fewer, or for another time`] : []),
      ...(told.length === 0 ? [nothingKnown(oldestTs)] : []),
    ],
  };
}

function nothingKnown(oldestTs: number | undefined): string {
  return oldestTs === undefined
    ? 'no decision since the agent was started: nothing was switched, violated or shed'
    : `no decision in that time; the oldest that is known is of ${formatTime(oldestTs)}`;
}

interface Told {
  readonly record: ExplainedDecision;
  readonly lines: readonly string[];
}

/** As many as fit, those nearest to `at` first, in their own order. */
function fitting(records: readonly ExplainedDecision[], at: number): Told[] {
  const nearest = records.toSorted((a, b) => Math.abs(a.ts - at) - Math.abs(b.ts - at));
  const told = new Map<ExplainedDecision, Told>();
  let bytes = 0;
  for (const record of nearest) {
    const one = { record, lines: describeRecord(record) };
    bytes += Buffer.byteLength(JSON.stringify([record, one.lines]));
    if (bytes > MAX_ANSWER_BYTES) break;
    told.set(record, one);
  }
  return records.flatMap((record) => told.get(record) ?? []);
}
