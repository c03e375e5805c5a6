import { AppError } from '../../shared/errors.ts';
import type { Metric } from '../api/schemas.ts';
import type { StoredPoint, StoredWindow } from './window-store.ts';

/** What is made of many values; `quantile` is 0..1. */
export type Aggregate =
  | { readonly kind: 'count' | 'sum' | 'mean' | 'min' | 'max' | 'rate' }
  | { readonly kind: 'percentile'; readonly quantile: number };

/** What one window, or one level of it, says about a metric. */
export interface Measure {
  readonly sum: number;
  /** What `sum` is divided by for the mean. */
  readonly weight: number;
  readonly min: number;
  readonly max: number;
  /** How many samples stand behind it. */
  readonly count: number;
  /** Encoded sketches of the values, where the metric has them. */
  readonly sketches?: readonly string[];
}

interface MetricRule {
  /** Whether operating points state it, so that it can be split by level. */
  readonly ofPoints: boolean;
  /** The first one is the default. */
  readonly aggregates: readonly Aggregate['kind'][];
  /** Undefined when the window says nothing about the metric: no inference has no latency. */
  measure(window: StoredWindow, points: readonly StoredPoint[]): Measure | undefined;
}

const COUNTER: readonly Aggregate['kind'][] = ['sum', 'rate', 'mean', 'min', 'max', 'count'];
const GAUGE: readonly Aggregate['kind'][] = ['mean', 'min', 'max', 'count'];

function total(points: readonly StoredPoint[], of: (point: StoredPoint) => number): number {
  return points.reduce((sum, point) => sum + of(point), 0);
}

function single(value: number): Measure {
  return { sum: value, weight: 1, min: value, max: value, count: 1 };
}

function ratio(part: number, whole: number): Measure | undefined {
  if (whole === 0) return undefined;
  return { sum: part, weight: whole, min: part / whole, max: part / whole, count: whole };
}

function busy(points: readonly StoredPoint[]): readonly StoredPoint[] {
  return points.filter(({ inferences }) => inferences > 0);
}

function latency(all: readonly StoredPoint[]): Measure | undefined {
  const points = busy(all);
  if (points.length === 0) return undefined;
  const inferences = total(points, (point) => point.inferences);
  return {
    sum: total(points, (point) => point.latencySumMs),
    weight: inferences,
    min: Math.min(...points.map(({ latencyMinMs }) => latencyMinMs)),
    max: Math.max(...points.map(({ latencyMaxMs }) => latencyMaxMs)),
    count: inferences,
    sketches: points.flatMap(({ latencySketch }) => (latencySketch === undefined ? [] : [latencySketch])),
  };
}

function level(all: readonly StoredPoint[]): Measure | undefined {
  const points = busy(all);
  if (points.length === 0) return undefined;
  const levels = points.map((point) => point.level);
  const inferences = total(points, (point) => point.inferences);
  return {
    sum: total(points, (point) => point.level * point.inferences),
    weight: inferences,
    min: Math.min(...levels),
    max: Math.max(...levels),
    count: inferences,
  };
}

function counterOfWindow(field: 'switches' | 'sheds' | 'skipped' | 'unreadable' | 'failed'): MetricRule {
  return { ofPoints: false, aggregates: COUNTER, measure: (window) => single(window[field]) };
}

function counterOfPoints(field: 'inferences' | 'misses'): MetricRule {
  return {
    ofPoints: true,
    aggregates: COUNTER,
    measure: (_, points) => single(total(points, (point) => point[field])),
  };
}

const inferencesOf = (points: readonly StoredPoint[]): number =>
  total(points, ({ inferences }) => inferences);

/** How every metric is read out of windows, and what can be made of it. */
export const METRIC_RULES = {
  latencyMs: {
    ofPoints: true,
    aggregates: ['mean', 'percentile', 'min', 'max', 'sum', 'count'],
    measure: (_, points) => latency(points),
  },
  accuracy: {
    ofPoints: true,
    aggregates: GAUGE,
    measure: (_, points) =>
      ratio(
        total(points, ({ correct }) => correct),
        total(points, ({ labelled }) => labelled),
      ),
  },
  inferences: counterOfPoints('inferences'),
  misses: counterOfPoints('misses'),
  missShare: {
    ofPoints: true,
    aggregates: GAUGE,
    measure: (_, points) =>
      ratio(
        total(points, ({ misses }) => misses),
        inferencesOf(points),
      ),
  },
  level: { ofPoints: true, aggregates: GAUGE, measure: (_, points) => level(points) },
  share: {
    ofPoints: true,
    aggregates: ['mean', 'count'],
    // The weight is filled in when all levels of a bucket are known.
    measure: (_, points) => ({ ...single(inferencesOf(points)), weight: 0, count: inferencesOf(points) }),
  },
  switches: counterOfWindow('switches'),
  sheds: counterOfWindow('sheds'),
  skipped: counterOfWindow('skipped'),
  unreadable: counterOfWindow('unreadable'),
  failed: counterOfWindow('failed'),
  slowdown: { ofPoints: false, aggregates: GAUGE, measure: (window) => single(window.slowdown) },
  price: {
    ofPoints: false,
    aggregates: GAUGE,
    measure: ({ price }) => (price === null ? undefined : single(price)),
  },
  windows: { ofPoints: false, aggregates: ['count', 'rate'], measure: () => single(1) },
} as const satisfies Record<Metric, MetricRule>;

/** The rule of a metric, with the types that all rules share. */
export function ruleOf(metric: Metric): MetricRule {
  return METRIC_RULES[metric];
}

/**
 * Reads an aggregate's name, or takes the metric's own default.
 * @throws AppError `usage` when it makes no sense for the metric, naming those that do
 */
export function aggregateOf(
  metric: Metric,
  name: string | undefined,
): { name: string; aggregate: Aggregate } {
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
 * @throws AppError `usage` when it cannot
 */
export function checkSplit(metric: Metric, by: 'device' | 'level' | undefined): void {
  if (by === 'level' && !ruleOf(metric).ofPoints) {
    throw new AppError('usage', `${metric} is not known by level; ask for it by device or over all`);
  }
  if (metric === 'share' && by !== 'level') {
    throw new AppError('usage', 'share is the share of a level in all inferences: ask for it by level');
  }
}
