import { AppError } from '../../../shared/errors.ts';
import type { Split, TelemetryAnswer } from '../../api/history-schemas.ts';
import { isOther, type PointSummary, type Summary } from '../summary/summary.ts';
import { aggregated } from './aggregates.ts';
import type { Aggregate, MetricRule } from './metrics.ts';

/** Points of an answer, at most: more than a plot or a person can take, little enough to hold. */
export const MAX_POINTS = 20_000;

export interface CollectPlan {
  readonly rule: MetricRule;
  readonly aggregate: Aggregate;
  readonly by: Split | undefined;
}

/** All that was seen in a bucket: by one device, or by all of them. */
export interface Seen {
  /** Where the bucket begins. */
  readonly ts: number;
  readonly summary: Summary;
  /** Of whom; empty for several. */
  readonly device: string;
  /** Device-time of the bucket, milliseconds. */
  readonly deviceMs: number;
}

export interface Collection {
  /**
   * Adds a bucket. What is added twice for one point is summed: rates of devices make the rate of the fleet.
   * @throws AppError `usage` when the answer would be too large
   */
  add(seen: Seen): void;
  series(): TelemetryAnswer['series'];
  readonly redated: number;
  readonly late: number;
}

interface Point {
  value: number;
  count: number;
}

/** Gathers the points of an answer. */
export function createCollection({ rule, aggregate, by }: CollectPlan): Collection {
  const series = new Map<string, Map<number, Point>>();
  let points = 0;
  let redated = 0;
  let late = 0;
  const put = (key: string, ts: number, { value, count }: Point): void => {
    const line = series.get(key) ?? new Map<number, Point>();
    series.set(key, line);
    const known = line.get(ts);
    if (known !== undefined) {
      known.value += value;
      known.count += count;
      return;
    }
    points += 1;
    if (points > MAX_POINTS) throw tooMany(by);
    line.set(ts, { value, count });
  };
  return {
    add: ({ ts, summary, device, deviceMs }) => {
      redated += summary.redated;
      late += summary.late;
      for (const [key, part] of partsOf(summary, by, device)) {
        const measure = rule.measure({ summary, points: part, deviceMs });
        const value = measure === undefined ? undefined : aggregated(measure, aggregate);
        if (measure !== undefined && value !== undefined) {
          put(key, ts, { value, count: Math.round(measure.count) });
        }
      }
    },
    series: () =>
      [...series]
        .map(([key, line]) => ({ key, points: [...line].map(([ts, point]) => ({ ts, ...point })) }))
        .map(({ key, points: line }) => ({ key, points: line.sort((a, b) => a.ts - b.ts) }))
        .sort((a, b) => a.key.localeCompare(b.key, 'en', { numeric: true })),
    get redated() {
      return redated;
    },
    get late() {
      return late;
    },
  };
}

function tooMany(by: Split | undefined): AppError {
  const split = by === undefined ? '' : `, or not by ${by}`;
  return new AppError(
    'usage',
    `the question leads to more than ${MAX_POINTS} points: ask for longer buckets, a shorter time, fewer devices${split}`,
  );
}

function partsOf(
  summary: Summary,
  by: Split | undefined,
  device: string,
): Iterable<readonly [key: string, points: readonly PointSummary[]]> {
  const points = [...summary.points.values()];
  if (by === 'level') return Map.groupBy(points, (point) => keyOf(point, String(point.level)));
  if (by === 'family') return Map.groupBy(points, (point) => keyOf(point, point.family));
  return [[by === 'device' ? device : '', points]];
}

/** Points beyond what a summary holds are one, of no level or family of its own. */
function keyOf(point: PointSummary, own: string): string {
  return isOther(point) ? 'other' : own;
}
