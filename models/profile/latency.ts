import { mean, quantileOfSorted } from '../../shared/statistics.ts';

/** Latencies of one model, milliseconds, from the call to the answer. */
export interface LatencyStatistics {
  readonly p50: number;
  readonly p95: number;
  readonly p99: number;
  readonly mean: number;
  readonly count: number;
}

/** Statistics of at least one measured latency; quantiles by nearest rank, so that each was measured. */
export function latencyStatistics(latenciesMs: readonly number[]): LatencyStatistics {
  const sorted = latenciesMs.toSorted((a, b) => a - b);
  return {
    p50: quantileOfSorted(sorted, 0.5),
    p95: quantileOfSorted(sorted, 0.95),
    p99: quantileOfSorted(sorted, 0.99),
    mean: mean(sorted),
    count: sorted.length,
  };
}
