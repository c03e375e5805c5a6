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
  const quantile = (q: number): number => sorted[Math.max(0, Math.ceil(q * sorted.length) - 1)] ?? Number.NaN;
  const sum = sorted.reduce((total, value) => total + value, 0);
  return {
    p50: quantile(0.5),
    p95: quantile(0.95),
    p99: quantile(0.99),
    mean: sum / sorted.length,
    count: sorted.length,
  };
}
