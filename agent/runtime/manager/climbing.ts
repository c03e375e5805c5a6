/**
 * How long a better level has to wait. Going down is at once; going up is at once too, until it was regretted:
 * a climb that noise alone has turned back within moments makes the next one to that level wait, twice as long
 * each time. Climbs that last take it back.
 */
export interface Climbing {
  readonly dwellMs: number;
  /** No climb to `regretted`, nor to more accurate points, before this time. */
  readonly notBeforeMs: number;
  /** Index of the point that the last regretted climb went to. */
  readonly regretted: number | undefined;
  /** When the last climb was, unless something else than noise has happened since. */
  readonly climbedMs: number | undefined;
  /** When the point was last changed. */
  readonly movedMs: number;
}

/** A change of the point. */
export interface Move {
  readonly from: number;
  /** To a more accurate point. */
  readonly isUp: boolean;
  readonly atMs: number;
  /** For the sake of another requirement: it says nothing about how long gains last. */
  readonly isForced: boolean;
}

const REGRETTED_WITHIN_MS = 2_000;
const FIRST_DWELL_MS = 2_000;
const MAX_DWELL_MS = 8_000;

export function freeToClimb(): Climbing {
  return {
    dwellMs: 0,
    notBeforeMs: Number.NEGATIVE_INFINITY,
    regretted: undefined,
    climbedMs: undefined,
    movedMs: Number.NEGATIVE_INFINITY,
  };
}

/** Index of the point that must not be climbed to now; undefined when all are free. */
export function barredPoint(
  { notBeforeMs, dwellMs, regretted }: Climbing,
  nowMs: number,
): number | undefined {
  // A clock that went back must not forbid climbing for ever.
  return nowMs >= notBeforeMs || notBeforeMs - nowMs > dwellMs ? undefined : regretted;
}

/** The load has jumped: what comes now is not noise, and what was learnt to wait for is over. */
export function afterJump(climbing: Climbing): Climbing {
  return { ...climbing, notBeforeMs: Number.NEGATIVE_INFINITY, climbedMs: undefined };
}

/** Takes a move to another point in. */
export function afterMove(before: Climbing, { from, isUp, atMs, isForced }: Move): Climbing {
  const climbing = { ...before, movedMs: atMs };
  if (isForced) return climbing;
  const { climbedMs, dwellMs } = before;
  const heldMs = climbedMs === undefined ? Number.POSITIVE_INFINITY : atMs - climbedMs;
  const isRegretted = heldMs <= REGRETTED_WITHIN_MS;
  if (isUp) return { ...climbing, climbedMs: atMs, dwellMs: isRegretted ? dwellMs : shorter(dwellMs) };
  if (!isRegretted) return { ...climbing, dwellMs: shorter(dwellMs), climbedMs: undefined };
  const longer = Math.min(MAX_DWELL_MS, Math.max(FIRST_DWELL_MS, 2 * dwellMs));
  return { ...climbing, dwellMs: longer, notBeforeMs: atMs + longer, regretted: from, climbedMs: undefined };
}

function shorter(dwellMs: number): number {
  return dwellMs <= FIRST_DWELL_MS ? 0 : dwellMs / 2;
}
