import { describe, expect, it } from 'vitest';
import { latencyStatistics } from '../../../models/profile/latency.ts';

describe('latencies', () => {
  it('are told by quantiles that were measured, and their mean', () => {
    const latenciesMs = Array.from({ length: 100 }, (_, index) => 100 - index);
    expect(latencyStatistics(latenciesMs)).toEqual({ p50: 50, p95: 95, p99: 99, mean: 50.5, count: 100 });
    expect(latencyStatistics([3])).toEqual({ p50: 3, p95: 3, p99: 3, mean: 3, count: 1 });
  });
});
