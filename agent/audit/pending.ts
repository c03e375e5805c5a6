/** Frames that wait for idle time, to be repeated by the auditor. */
export interface Pending<F> {
  readonly frames: readonly F[];
  /** Frames that went because newer ones came before there was time for them. */
  readonly dropped: number;
}

/** A frame of a large family is megabytes; more than a few would be old news by their turn anyway. */
const MOST = 4;

export const NONE_PENDING: Pending<never> = { frames: [], dropped: 0 };

/**
 * Keeps a frame, and drops the oldest where there is no room. What is dropped depends on the load alone and
 * not on what is seen, and agreement is a share of the audits that were DONE, so dropping takes precision
 * and adds no bias; `dropped` tells how much.
 * @param frame owns its pixels: those of a frame source are only lent
 */
export function keep<F>({ frames, dropped }: Pending<F>, frame: F, most = MOST): Pending<F> {
  const kept = [...frames, frame].slice(-Math.max(1, most));
  return { frames: kept, dropped: dropped + frames.length + 1 - kept.length };
}

/** The oldest frame, and what then remains. */
export function take<F>({ frames, dropped }: Pending<F>): { frame: F | undefined; rest: Pending<F> } {
  const [frame, ...others] = frames;
  return { frame, rest: { frames: others, dropped } };
}
