import { AppError } from '../../../shared/errors.ts';
import { Sketch } from '../../../shared/sketch.ts';
import { METRICS, type Metric, type Split } from '../../api/history-schemas.ts';
import type { Dist } from '../summary/summary.ts';
import { type Aggregate, type Measure, ruleOf } from './metrics.ts';

/**
 * Reads an aggregate's name, or takes the metric's own default.
 * @throws AppError `usage` when it makes no sense for the metric, naming those that do
 */
export function aggregateOf(
  metric: Metric,
  name: string | undefined,
): { readonly name: string; readonly aggregate: Aggregate } {
  const { aggregates } = ruleOf(metric);
  const chosen = name ?? aggregates[0] ?? 'count';
  const kind = aggregates.find((each) => (each === 'percentile' ? /^p\d/.test(chosen) : each === chosen));
  if (kind === undefined) {
    const fitting = aggregates
      .map((each) => (each === 'percentile' ? 'percentiles such as p99' : each))
      .join(', ');
    throw new AppError('usage', `aggregate '${chosen}' makes no sense for ${metric}; these do: ${fitting}`);
  }
  if (kind !== 'percentile') return { name: chosen, aggregate: { kind } };
  return { name: chosen, aggregate: { kind, quantile: Number(chosen.slice(1)) / 100 } };
}

/**
 * Checks that a metric can be split as asked.
 * @throws AppError `usage` when it cannot, or when it has to be and is not
 */
export function checkSplit(metric: Metric, by: Split | undefined): void {
  const { splits, isPartOfWhole } = ruleOf(metric);
  if (isPartOfWhole === true && (by === undefined || !splits.includes(by))) {
    throw new AppError(
      'usage',
      `${metric} is what a level or family has of the whole: ask for it by ${splits.join(' or ')}`,
    );
  }
  if (by !== undefined && !splits.includes(by)) {
    throw new AppError('usage', `${metric} is not known by ${by}; ask for it by device or over all`);
  }
}

/** Unit of the values of an answer. */
export function unitOf(metric: Metric, aggregate: Aggregate['kind']): string {
  const unit = METRICS[metric];
  if (aggregate === 'count') return '';
  if (aggregate !== 'rate') return unit;
  return unit === 'J' ? 'W' : `${unit}/s`;
}

/** The value of an aggregate; undefined where there is none. A rate is per second. */
export function aggregated(measure: Measure, aggregate: Aggregate): number | undefined {
  switch (aggregate.kind) {
    case 'mean':
      return measure.weight === 0 ? undefined : measure.sum / measure.weight;
    case 'rate': {
      const { rateMs = 0 } = measure;
      return rateMs === 0 ? undefined : (measure.sum * 1_000) / rateMs;
    }
    case 'percentile':
      return quantileOf(measure.dists ?? [], aggregate.quantile);
    default:
      return measure[aggregate.kind];
  }
}

/**
 * A quantile of all values of the distributions, from their merged sketches: the value at rank
 * floor(1 + quantile (count - 1)), within 1 %. The ends are exact, and the sketch's error does not lead
 * beyond what was measured. Undefined when there are no values.
 */
export function quantileOf(dists: readonly Dist[], quantile: number): number | undefined {
  const [first, ...others] = dists;
  if (first === undefined) return undefined;
  const min = others.reduce((least, dist) => Math.min(least, dist.min), first.min);
  const max = others.reduce((most, dist) => Math.max(most, dist.max), first.max);
  if (quantile === 0) return min;
  if (quantile === 1) return max;
  const value = mergedSketch(first, others).quantile(quantile);
  return value === undefined ? undefined : Math.min(Math.max(value, min), max);
}

function mergedSketch(first: Dist, others: readonly Dist[]): Sketch {
  if (others.length === 0) return first.sketch;
  const merged = new Sketch();
  for (const { sketch } of [first, ...others]) merged.merge(sketch);
  return merged;
}
