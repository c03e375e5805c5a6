import { AppError } from '../../shared/errors.ts';
import { METRICS, type TelemetryAnswer, type TelemetryQuery } from '../api/schemas.ts';
import { createAggregation } from './aggregate.ts';
import { aggregateOf, checkSplit } from './metrics.ts';
import type { WindowStore } from './window-store.ts';

export interface QueryDeps {
  readonly windows: Pick<WindowStore, 'pages'>;
  /** Lets other work run: a long query must not hold up telemetry that comes in. */
  readonly giveWay: () => Promise<void>;
  readonly now: () => number;
}

/**
 * Answers a question about the history.
 * @param devices those that the question is about; undefined means all
 * @throws AppError `usage` when the question makes no sense, or its answer would be too large
 */
export async function queryTelemetry(
  query: TelemetryQuery,
  devices: readonly string[] | undefined,
  deps: QueryDeps,
): Promise<TelemetryAnswer> {
  const { metric, by, since, bucketMs } = query;
  const until = query.until ?? deps.now();
  if (until < since) throw new AppError('usage', `until (${until}) lies before since (${since})`);
  const { name, aggregate } = aggregateOf(metric, query.aggregate);
  checkSplit(metric, by);
  const aggregation = createAggregation({ metric, aggregate, by, since, until, bucketMs });
  const withSketches = aggregate.kind === 'percentile';
  for (const page of deps.windows.pages({ devices, since, until, withSketches })) {
    for (const window of page) aggregation.add(window);
    await deps.giveWay();
  }
  return {
    metric,
    unit: METRICS[metric],
    aggregate: name,
    since,
    until,
    bucketMs: bucketMs ?? until - since,
    series: aggregation.series(),
  };
}
