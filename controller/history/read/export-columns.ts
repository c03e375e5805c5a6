import { DISTRIBUTIONS, type DistributionName } from '../../../shared/protocol/window.ts';
import type { EventRow } from '../../api/schemas.ts';
import { SUMMARY_GAUGES, type SummaryGauge } from '../summary/gauges.ts';
import type { PointSummary, Summary } from '../summary/summary.ts';
import { quantileOf } from './aggregates.ts';
import type { Cell, ColumnType, TypedColumn } from './parquet.ts';

/** A column of an export, and how its value is read. */
export interface Column<T> extends TypedColumn {
  readonly value: (row: T) => Cell;
}

/** What a device did in a span. */
export interface SpanRow {
  readonly device: string;
  /** Begin of the span, milliseconds since the epoch. */
  readonly start: number;
  readonly spanMs: number;
  readonly summary: Summary;
}
export type PointRow = SpanRow & { readonly point: PointSummary };

const QUANTILES = { p50: 0.5, p95: 0.95, p99: 0.99 } as const;

function column<T>(name: string, type: ColumnType, value: (row: T) => Cell): Column<T> {
  return { name, type, value };
}

const SPAN_COLUMNS: readonly Column<SpanRow>[] = [
  column('device', 'text', ({ device }) => device),
  column('start', 'time', ({ start }) => start),
  column('spanMs', 'number', ({ spanMs }) => spanMs),
];

type Counter = 'windows' | 'redated' | 'late' | 'switches' | 'sheds' | 'skipped' | 'unreadable' | 'failed';

function countOf(name: Counter): Column<SpanRow> {
  return column<SpanRow>(name, 'count', ({ summary }) => summary[name]);
}

function sumOfPoints(name: 'inferences' | 'misses') {
  return column<SpanRow>(name, 'count', ({ summary }) => {
    let sum = 0;
    for (const point of summary.points.values()) sum += point[name];
    return sum;
  });
}

function gaugeColumns(name: SummaryGauge): Column<SpanRow>[] {
  const known = (summary: Summary) => {
    const gauge = summary.gauges.get(name);
    return gauge === undefined || gauge.ms === 0 ? undefined : gauge;
  };
  return [
    column(`${name}_mean`, 'number', ({ summary }) => {
      const gauge = known(summary);
      return gauge === undefined ? undefined : gauge.sumMs / gauge.ms;
    }),
    column(`${name}_min`, 'number', ({ summary }) => known(summary)?.min),
    column(`${name}_max`, 'number', ({ summary }) => known(summary)?.max),
  ];
}

/** One row per device and span. Energy and its times are unknown where `energyMs` is 0. */
export const WINDOW_COLUMNS: readonly Column<SpanRow>[] = [
  ...SPAN_COLUMNS,
  countOf('windows'),
  column('coveredMs', 'number', ({ summary }) => summary.coveredMs),
  countOf('redated'),
  countOf('late'),
  sumOfPoints('inferences'),
  sumOfPoints('misses'),
  countOf('switches'),
  countOf('sheds'),
  countOf('skipped'),
  countOf('unreadable'),
  countOf('failed'),
  column('deviceEnergyJ', 'number', ({ summary }) => (summary.energyMs === 0 ? undefined : summary.energyJ)),
  column('energyMs', 'number', ({ summary }) => summary.energyMs),
  column('measuredMs', 'number', ({ summary }) => summary.measuredMs),
  column('modelledMs', 'number', ({ summary }) => summary.modelledMs),
  ...SUMMARY_GAUGES.flatMap(gaugeColumns),
];

function distributionColumns(name: DistributionName): Column<PointRow>[] {
  const dist = ({ point }: PointRow) => {
    const known = point.dist[name];
    return known === undefined || known.count === 0 ? undefined : known;
  };
  return [
    column(`${name}_count`, 'count', (row) => dist(row)?.count ?? 0),
    column(`${name}_mean`, 'number', (row) => {
      const known = dist(row);
      return known === undefined ? undefined : known.sum / known.count;
    }),
    column(`${name}_min`, 'number', (row) => dist(row)?.min),
    column(`${name}_max`, 'number', (row) => dist(row)?.max),
    ...Object.entries(QUANTILES).map(([suffix, quantile]) =>
      column<PointRow>(`${name}_${suffix}`, 'number', (row) => {
        const known = dist(row);
        return known === undefined ? undefined : quantileOf([known], quantile);
      }),
    ),
  ];
}

/** One row per device, span, family, processing element and level. */
export const POINT_COLUMNS: readonly Column<PointRow>[] = [
  ...SPAN_COLUMNS,
  column('family', 'text', ({ point }) => point.family),
  column('pe', 'text', ({ point }) => point.pe),
  column('level', 'count', ({ point }) => point.level),
  column('timeMs', 'number', ({ point }) => point.timeMs),
  column('inferences', 'count', ({ point }) => point.inferences),
  column('misses', 'count', ({ point }) => point.misses),
  column('labelled', 'count', ({ point }) => point.labelled),
  column('correct', 'count', ({ point }) => point.correct),
  column('confidence', 'number', ({ point: { confidenceSum, confidenceCount } }) =>
    confidenceCount === 0 ? undefined : confidenceSum / confidenceCount,
  ),
  column('audits', 'count', ({ point }) => point.audits),
  column('agreed', 'count', ({ point }) => point.agreed),
  ...DISTRIBUTIONS.flatMap(distributionColumns),
];

/** One row per event. */
export const EVENT_COLUMNS: readonly Column<EventRow>[] = [
  column('device', 'text', ({ device }) => device),
  column('ts', 'time', ({ ts }) => ts),
  column('redated', 'flag', ({ redated }) => redated === true),
  column('kind', 'text', ({ kind }) => kind),
  column('body', 'text', ({ body }) => JSON.stringify(body)),
];
