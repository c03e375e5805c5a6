/** What running or shedding a frame is weighed by; accuracies are expected ones, 0..1. */
export interface LateFrame {
  /** Of the fastest point, in the time that is left. */
  readonly goodput: number;
  /** What the fastest point takes, milliseconds. */
  readonly takesMs: number;
  /** Until the next frame arrives. */
  readonly nextInMs: number;
  /** A frame's whole time. */
  readonly budgetMs: number;
  /** The best expected accuracy of a frame that has so much time. */
  readonly bestWithin: (timeLeftMs: number) => number;
}

/**
 * Whether the time is better left to the next frame: running this one on the fastest point is worth less than
 * what its overrun takes from the next.
 */
export function worthShedding({ goodput, takesMs, nextInMs, budgetMs, bestWithin }: LateFrame): boolean {
  const overrunMs = Math.max(0, takesMs - nextInMs);
  return goodput < bestWithin(budgetMs) - bestWithin(budgetMs - overrunMs);
}
