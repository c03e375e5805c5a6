/** What was used over one limit and has not been saved since. */
export interface Queue {
  /** As it was last stated; undefined without one. */
  readonly limit: number | undefined;
  /** In lengths: at 1, energy costs as much as a family's accuracy is worth on average. Savings are negative. */
  readonly over: number;
  /** When a request last stated the limit, and when something was last taken in. */
  readonly statedMs: number;
  readonly fedMs: number;
}

/** Lengths that no queue grows beyond, so that a limit that could not be kept for hours is left at once again. */
export const SATURATED = 4;
const MOST_SAVED = 0.5;
/** Some requests state a limit and others do not; when none has for so long, it is a thing of the past. */
const LIMIT_LASTS_MS = 60_000;

export const NO_QUEUE: Queue = { limit: undefined, over: 0, statedMs: 0, fedMs: 0 };

/** The queue under the limit that the newest request states: what waits for another one counts at most once. */
export function stated(queue: Queue, limit: number | undefined, nowMs: number): Queue {
  if (limit === undefined) return nowMs - queue.statedMs > LIMIT_LASTS_MS ? NO_QUEUE : queue;
  if (limit === queue.limit) return { ...queue, statedMs: nowMs };
  return { limit, over: Math.min(1, queue.over), statedMs: nowMs, fedMs: nowMs };
}

/** Takes in what was used (above 0) or saved (below), in lengths. */
export function fed(queue: Queue, lengths: number, nowMs: number): Queue {
  const over = Math.min(SATURATED, Math.max(-MOST_SAVED, queue.over + lengths));
  return Number.isNaN(over) ? queue : { ...queue, over, fedMs: nowMs };
}

/** The queue, or an empty one when nothing was taken in for so long. */
export function emptiedWhenSilent(queue: Queue, nowMs: number, withinMs: number): Queue {
  return nowMs - queue.fedMs > withinMs ? { ...queue, over: 0 } : queue;
}
