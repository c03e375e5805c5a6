import type { DistributionName } from '../../../shared/protocol/window.ts';
import type { Metric, Split } from '../../api/history-schemas.ts';
import type { SummaryGauge } from '../summary/gauges.ts';
import { type Dist, isOther, type PointSummary, type Summary } from '../summary/summary.ts';

/** What is made of many values; `quantile` is 0..1. */
export type Aggregate =
  | { readonly kind: 'count' | 'sum' | 'mean' | 'min' | 'max' | 'rate' }
  | { readonly kind: 'percentile'; readonly quantile: number };

/** What is asked about a span: all of it, or only the points of one level or family. */
export interface Part {
  readonly summary: Summary;
  readonly points: readonly PointSummary[];
  /** Device-time of the bucket, milliseconds: its length for each device of the question. */
  readonly deviceMs: number;
}

/** What a part says about a metric. */
export interface Measure {
  readonly sum: number;
  /** What `sum` is divided by for the mean. */
  readonly weight: number;
  /** How many samples stand behind it. */
  readonly count: number;
  readonly min?: number;
  readonly max?: number;
  /** What `sum` is divided by for the rate, milliseconds. */
  readonly rateMs?: number;
  readonly dists?: readonly Dist[];
}

export interface MetricRule {
  readonly splits: readonly Split[];
  /** The first one is the default. */
  readonly aggregates: readonly Aggregate['kind'][];
  /** The distribution that percentiles of the metric come from. */
  readonly distribution?: DistributionName;
  /** It is a share of the whole and says nothing unless the whole is split. */
  readonly isPartOfWhole?: true;
  /** Undefined when nothing is known: no inference has no latency. */
  measure(part: Part): Measure | undefined;
}

const OF_POINTS: readonly Split[] = ['device', 'level', 'family'];
const OF_DEVICE: readonly Split[] = ['device'];

function total(points: readonly PointSummary[], of: (point: PointSummary) => number): number {
  let sum = 0;
  for (const point of points) sum += of(point);
  return sum;
}

const inferencesOf = (points: readonly PointSummary[]): number =>
  total(points, ({ inferences }) => inferences);

function perInference(name: DistributionName): MetricRule {
  return {
    splits: OF_POINTS,
    aggregates: ['mean', 'percentile', 'min', 'max', 'sum', 'count'],
    distribution: name,
    measure: ({ points }) => {
      const dists = points.flatMap(({ dist }) => dist[name] ?? []).filter(({ count }) => count > 0);
      if (dists.length === 0) return undefined;
      const count = dists.reduce((sum, dist) => sum + dist.count, 0);
      return {
        sum: dists.reduce((sum, dist) => sum + dist.sum, 0),
        weight: count,
        count,
        min: dists.reduce((least, { min }) => Math.min(least, min), Number.POSITIVE_INFINITY),
        max: dists.reduce((most, { max }) => Math.max(most, max), Number.NEGATIVE_INFINITY),
        dists,
      };
    },
  };
}

/** Sum, rate over the time that was reported, and mean of a window. */
function counter(splits: readonly Split[], of: (part: Part) => number): MetricRule {
  return {
    splits,
    aggregates: ['sum', 'rate', 'mean', 'count'],
    measure: (part) => {
      const { windows, coveredMs } = part.summary;
      return { sum: of(part), weight: windows, count: windows, rateMs: coveredMs };
    },
  };
}

function pointCounter(of: (point: PointSummary) => number): MetricRule {
  return counter(OF_POINTS, ({ points }) => total(points, of));
}

function windowCounter(
  field: 'switches' | 'sheds' | 'skipped' | 'unreadable' | 'failed' | 'windows',
): MetricRule {
  return counter(OF_DEVICE, ({ summary }) => summary[field]);
}

/** One number of a point by another. */
function ratio(part: (point: PointSummary) => number, whole: (point: PointSummary) => number): MetricRule {
  return {
    splits: OF_POINTS,
    aggregates: ['mean', 'count'],
    measure: ({ points }) => {
      const weight = total(points, whole);
      return weight === 0 ? undefined : { sum: total(points, part), weight, count: weight };
    },
  };
}

/** What these points have of what all points of the bucket have. */
function partOfWhole(of: (point: PointSummary) => number): MetricRule {
  return {
    splits: ['level', 'family'],
    aggregates: ['mean', 'count'],
    isPartOfWhole: true,
    measure: ({ summary, points }) => {
      const weight = total([...summary.points.values()], of);
      if (weight === 0) return undefined;
      return { sum: total(points, of), weight, count: inferencesOf(points) };
    },
  };
}

/** Mean over the time for which it is known. */
function gauge(name: SummaryGauge): MetricRule {
  return {
    splits: OF_DEVICE,
    aggregates: ['mean', 'min', 'max', 'count'],
    measure: ({ summary }) => {
      const known = summary.gauges.get(name);
      if (known === undefined || known.ms === 0) return undefined;
      return { sum: known.sumMs, weight: known.ms, min: known.min, max: known.max, count: summary.windows };
    },
  };
}

const LEVEL: MetricRule = {
  splits: OF_POINTS,
  aggregates: ['mean', 'min', 'max', 'count'],
  measure: ({ points }) => {
    const busy = points.filter((point) => point.inferences > 0 && !isOther(point));
    if (busy.length === 0) return undefined;
    const inferences = inferencesOf(busy);
    const levels = busy.map(({ level }) => level);
    return {
      sum: total(busy, (point) => point.level * point.inferences),
      weight: inferences,
      count: inferences,
      min: levels.reduce((a, b) => Math.min(a, b)),
      max: levels.reduce((a, b) => Math.max(a, b)),
    };
  },
};

const DEVICE_ENERGY: MetricRule = {
  splits: OF_DEVICE,
  aggregates: ['sum', 'rate', 'count'],
  measure: ({ summary: { energyJ, energyMs, windows } }) =>
    energyMs === 0 ? undefined : { sum: energyJ, weight: windows, count: windows, rateMs: energyMs },
};

const MEASURED_SHARE: MetricRule = {
  splits: OF_DEVICE,
  aggregates: ['mean', 'count'],
  measure: ({ summary: { measuredMs, energyMs, windows } }) =>
    energyMs === 0 ? undefined : { sum: measuredMs, weight: energyMs, count: windows },
};

/** Windows that reach over an edge of the bucket count where their middle lies: no share is above 1. */
const COVERAGE: MetricRule = {
  splits: OF_DEVICE,
  aggregates: ['mean', 'count'],
  measure: ({ summary: { coveredMs, windows }, deviceMs }) =>
    deviceMs === 0 ? undefined : { sum: Math.min(coveredMs, deviceMs), weight: deviceMs, count: windows },
};

/** How every metric is read out of summaries, and what can be made of it. */
const RULES = {
  latencyMs: perInference('latencyMs'),
  slowdown: perInference('slowdown'),
  queueMs: perInference('queueMs'),
  energyJ: perInference('energyJ'),
  inferences: pointCounter(({ inferences }) => inferences),
  misses: pointCounter(({ misses }) => misses),
  audits: pointCounter(({ audits }) => audits),
  switches: windowCounter('switches'),
  sheds: windowCounter('sheds'),
  skipped: windowCounter('skipped'),
  unreadable: windowCounter('unreadable'),
  failed: windowCounter('failed'),
  windows: windowCounter('windows'),
  missShare: ratio(
    ({ misses }) => misses,
    ({ inferences }) => inferences,
  ),
  accuracy: ratio(
    ({ correct }) => correct,
    ({ labelled }) => labelled,
  ),
  agreement: ratio(
    ({ agreed }) => agreed,
    ({ audits }) => audits,
  ),
  confidence: ratio(
    ({ confidenceSum }) => confidenceSum,
    ({ confidenceCount }) => confidenceCount,
  ),
  share: partOfWhole(({ inferences }) => inferences),
  timeShare: partOfWhole(({ timeMs }) => timeMs),
  level: LEVEL,
  deviceEnergyJ: DEVICE_ENERGY,
  measuredShare: MEASURED_SHARE,
  powerW: gauge('powerW'),
  tempC: gauge('tempC'),
  cpuBusy: gauge('cpuBusy'),
  gpuBusy: gauge('gpuBusy'),
  cpuFreqHz: gauge('cpuFreqHz'),
  gpuFreqHz: gauge('gpuFreqHz'),
  memAvailableBytes: gauge('memAvailableBytes'),
  rssBytes: gauge('rssBytes'),
  queue: gauge('queue'),
  cpuPressure: gauge('cpuPressure'),
  managerSlowdown: gauge('managerSlowdown'),
  price: gauge('price'),
  outboxRecords: gauge('outboxRecords'),
  outboxAgeMs: gauge('outboxAgeMs'),
  drifting: gauge('drifting'),
  budgetLatencyMs: gauge('budgetLatencyMs'),
  budgetMissShare: gauge('budgetMissShare'),
  budgetAccuracyFloor: gauge('budgetAccuracyFloor'),
  budgetPowerW: gauge('budgetPowerW'),
  budgetEnergyJ: gauge('budgetEnergyJ'),
  budgetTempC: gauge('budgetTempC'),
  coverage: COVERAGE,
} as const satisfies Record<Metric, MetricRule>;

/** The rule of a metric. */
export function ruleOf(metric: Metric): MetricRule {
  return RULES[metric];
}
