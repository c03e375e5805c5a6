import { AppError } from '../../shared/errors.ts';
import { Sketch } from '../../shared/sketch.ts';
import type { Metric, TelemetryAnswer } from '../api/schemas.ts';
import { type Aggregate, type Measure, ruleOf } from './metrics.ts';
import type { StoredPoint, StoredWindow } from './window-store.ts';

/** Points of an answer, at most: more than a plot or a person can take, little enough to hold. */
export const MAX_POINTS = 20_000;
/** Sums of single devices that are kept for a rate, at most: a question must not fill the memory. */
const MAX_DEVICE_SUMS = 500_000;

export interface AggregationPlan {
  readonly metric: Metric;
  readonly aggregate: Aggregate;
  readonly by: 'device' | 'level' | undefined;
  readonly since: number;
  readonly until: number;
  /** Undefined: one bucket over all. */
  readonly bucketMs: number | undefined;
}

export interface Aggregation {
  add(window: StoredWindow): void;
  series(): TelemetryAnswer['series'];
}

/** All that was seen of one series in one bucket. */
interface Cell {
  sum: number;
  weight: number;
  min: number;
  max: number;
  count: number;
  readonly sketch: Sketch;
  readonly sumOfDevice: Map<string, number>;
}

/** What the series of one bucket have in common. */
interface Bucket {
  readonly cells: Map<string, Cell>;
  inferences: number;
  readonly coveredMsOfDevice: Map<string, number>;
}

/** Folds windows into buckets and series, without reading any time or file. */
export function createAggregation(plan: AggregationPlan): Aggregation {
  const buckets = new Map<number, Bucket>();
  let points = 0;
  let deviceSums = 0;
  const countSums = (count: number): void => {
    deviceSums += count;
    if (deviceSums > MAX_DEVICE_SUMS) throw tooMany(plan);
  };
  // Only a rate asks which device did what.
  const ofDevices = plan.aggregate.kind === 'rate';
  const cellOf = (bucket: Bucket, key: string): Cell => {
    const known = bucket.cells.get(key);
    if (known !== undefined) return known;
    points += 1;
    if (points > MAX_POINTS) throw tooMany(plan);
    const cell = emptyCell();
    bucket.cells.set(key, cell);
    return cell;
  };
  return {
    add: (window) => {
      const start = bucketStart(window.ts, plan);
      // Windows that say nothing of the metric make buckets all the same.
      if (!buckets.has(start) && buckets.size >= MAX_POINTS) throw tooMany(plan);
      const bucket = bucketOf(buckets, start);
      const { device, durationMs } = window;
      if (ofDevices) countSums(addTo(bucket.coveredMsOfDevice, device, durationMs));
      bucket.inferences += window.points.reduce((sum, { inferences }) => sum + inferences, 0);
      for (const [key, part] of splitWindow(window, plan.by)) {
        const measure = ruleOf(plan.metric).measure(window, part);
        if (measure === undefined) continue;
        const cell = cellOf(bucket, key);
        merge(cell, measure);
        if (ofDevices) countSums(addTo(cell.sumOfDevice, device, measure.sum));
      }
    },
    series: () => seriesOf(buckets, plan),
  };
}

/** Buckets begin at multiples of their length, so that two answers can be laid beside each other. */
export function bucketStart(
  ts: number,
  { since, bucketMs }: Pick<AggregationPlan, 'since' | 'bucketMs'>,
): number {
  return bucketMs === undefined ? since : Math.floor(ts / bucketMs) * bucketMs;
}

function tooMany({ bucketMs, by }: AggregationPlan): AppError {
  const shorter =
    bucketMs === undefined ? 'ask for fewer devices' : `ask for buckets longer than ${bucketMs} ms`;
  const split = by === undefined ? 'a shorter time' : `a shorter time, or not by ${by}`;
  return new AppError('usage', `the question leads to more than ${MAX_POINTS} points: ${shorter}, ${split}`);
}

function emptyCell(): Cell {
  const extremes = { min: Number.POSITIVE_INFINITY, max: Number.NEGATIVE_INFINITY };
  return { sum: 0, weight: 0, count: 0, ...extremes, sketch: new Sketch(), sumOfDevice: new Map() };
}

function bucketOf(buckets: Map<number, Bucket>, start: number): Bucket {
  const known = buckets.get(start);
  if (known !== undefined) return known;
  const bucket: Bucket = { cells: new Map(), inferences: 0, coveredMsOfDevice: new Map() };
  buckets.set(start, bucket);
  return bucket;
}

function splitWindow(
  window: StoredWindow,
  by: AggregationPlan['by'],
): Iterable<readonly [key: string, points: readonly StoredPoint[]]> {
  if (by !== 'level') return [[by === 'device' ? window.device : '', window.points]];
  return Map.groupBy(window.points, ({ level }) => String(level));
}

/** Adds to an entry, and says by how many entries the map has grown. */
function addTo(sums: Map<string, number>, key: string, value: number): number {
  const before = sums.size;
  sums.set(key, (sums.get(key) ?? 0) + value);
  return sums.size - before;
}

function merge(cell: Cell, measure: Measure): void {
  cell.sum += measure.sum;
  cell.weight += measure.weight;
  cell.min = Math.min(cell.min, measure.min);
  cell.max = Math.max(cell.max, measure.max);
  cell.count += measure.count;
  for (const text of measure.sketches ?? []) cell.sketch.merge(Sketch.decode(text));
}

function seriesOf(buckets: ReadonlyMap<number, Bucket>, plan: AggregationPlan): TelemetryAnswer['series'] {
  const series = new Map<string, TelemetryAnswer['series'][number]['points']>();
  for (const [ts, bucket] of [...buckets].sort(([a], [b]) => a - b)) {
    for (const [key, cell] of bucket.cells) {
      const value = resultOf(cell, bucket, plan);
      if (value === undefined) continue;
      const points = series.get(key) ?? [];
      series.set(key, points);
      points.push({ ts, value, count: cell.count });
    }
  }
  return [...series].map(([key, points]) => ({ key, points })).sort((a, b) => compareKeys(a.key, b.key));
}

function compareKeys(a: string, b: string): number {
  return a.localeCompare(b, 'en', { numeric: true });
}

function resultOf(cell: Cell, bucket: Bucket, { metric, aggregate }: AggregationPlan): number | undefined {
  switch (aggregate.kind) {
    case 'mean': {
      const weight = metric === 'share' ? bucket.inferences : cell.weight;
      return weight === 0 ? undefined : cell.sum / weight;
    }
    case 'rate':
      return rateOf(cell, bucket);
    case 'percentile':
      return percentileOf(cell, aggregate.quantile);
    default:
      return cell[aggregate.kind];
  }
}

/** Per second of the time that was reported, summed over devices: a gap neither counts nor dilutes. */
function rateOf(cell: Cell, bucket: Bucket): number | undefined {
  let rate: number | undefined;
  for (const [device, sum] of cell.sumOfDevice) {
    const coveredMs = bucket.coveredMsOfDevice.get(device) ?? 0;
    if (coveredMs > 0) rate = (rate ?? 0) + (sum * 1_000) / coveredMs;
  }
  return rate;
}

/** The ends are exact; between them the sketch's error must not lead beyond what was measured. */
function percentileOf({ sketch, min, max }: Cell, quantile: number): number | undefined {
  if (quantile === 0) return min;
  if (quantile === 1) return max;
  const value = sketch.quantile(quantile);
  return value === undefined ? undefined : Math.min(Math.max(value, min), max);
}
