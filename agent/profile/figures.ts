import { median, quantile } from '../../shared/statistics.ts';

/** How long one inference of a point takes, milliseconds from the call to the answer. */
export interface LatencyFigures {
  readonly medianMs: number;
  /** By nearest rank, so that it was measured. */
  readonly p95Ms: number;
  /** Median absolute deviation from the median. */
  readonly madMs: number;
  /** Runs that were counted. */
  readonly runs: number;
}

/** Figures of at least one latency. */
export function latencyFigures(latenciesMs: readonly number[]): LatencyFigures {
  const medianMs = median(latenciesMs);
  return {
    medianMs,
    p95Ms: quantile(latenciesMs, 0.95),
    madMs: median(latenciesMs.map((latencyMs) => Math.abs(latencyMs - medianMs))),
    runs: latenciesMs.length,
  };
}
