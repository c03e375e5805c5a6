import { wilson } from '../../shared/proportion.ts';
import { DEFAULT_MISS_SHARE } from '../../shared/protocol/requirement.ts';
import type { LatestWindow } from './facts.ts';

/** A window that was seen, reduced to its misses. */
export interface Sample {
  readonly ts: number;
  readonly durationMs: number;
  readonly inferences: number;
  readonly misses: number;
  /** Share of misses that is allowed, 0..1. */
  readonly allowed: number;
}

/** The windows before with the newest one, oldest first, `count` at most. Of windows between two looks only the last is seen. */
export function recentAfter(
  recent: readonly Sample[],
  latest: LatestWindow | undefined,
  count: number,
): readonly Sample[] {
  const newest = recent.at(-1);
  if (latest === undefined || (newest !== undefined && latest.ts === newest.ts)) return recent;
  const { ts, durationMs, inferences, misses, requirement } = latest;
  const allowed = requirement.missShare ?? DEFAULT_MISS_SHARE;
  // Without a latency budget nothing can miss it.
  const counted = requirement.latencyMs === undefined ? 0 : misses;
  const sample: Sample = { ts, durationMs, inferences, misses: counted, allowed };
  // A clock that was set back: what came before says nothing of now.
  const before = newest !== undefined && ts < newest.ts ? [] : recent;
  return [...before, sample].slice(-count);
}

function isOver({ inferences, misses, allowed }: Sample): boolean {
  return inferences > 0 && misses / inferences > allowed;
}

/**
 * Whether more inferences miss their budget than may: every one of `count` windows is over, and all together
 * so far that chance does not explain it (lower end of the Wilson interval). A device that is run at its limit
 * is over in half of its windows.
 * @returns undefined where too few windows were seen to tell
 */
export function missesTooMuch(recent: readonly Sample[], count: number): boolean | undefined {
  if (!recent.every(isOver)) return false;
  if (recent.length < count) return undefined;
  const inferences = recent.reduce((sum, sample) => sum + sample.inferences, 0);
  const misses = recent.reduce((sum, sample) => sum + sample.misses, 0);
  const allowed = Math.max(...recent.map((sample) => sample.allowed));
  return wilson(misses, inferences).low > allowed;
}

/** Whether windows that began after `ts` say, `count` of them in a row, that the latency budget is met. */
export function meetsLatencySince(recent: readonly Sample[], ts: number, count: number): boolean {
  const after = recent.filter((sample) => sample.ts - sample.durationMs > ts && sample.inferences > 0);
  return after.length >= count && !after.some(isOver);
}
