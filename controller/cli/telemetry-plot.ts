import type { ChartLook } from '../../shared/cli/chart.ts';
import { drawChart } from '../../shared/cli/chart.ts';
import { printable } from '../../shared/cli/format.ts';
import type { Span } from '../../shared/cli/plot.ts';
import { MAX_SERIES } from '../../shared/cli/series.ts';
import type { TelemetryAnswer } from '../api/history-schemas.ts';
import { timeTicks } from './time-ticks.ts';

const ROWS = 12;

type Series = TelemetryAnswer['series'][number];

/** A picture of an answer, and how many of its series are not in it. */
export interface Plot {
  readonly lines: readonly string[];
  readonly left: number;
}

/**
 * Draws the series of an answer over time, those of the largest counts where they are too many for one
 * picture. Time without windows is a gap in the line.
 * @param zone in which the time axis is read
 */
export function plotAnswer(answer: TelemetryAnswer, zone: string, look: ChartLook): Plot {
  const { metric, unit, aggregate, bucketMs, until } = answer;
  const shown = busiest(answer.series);
  const firstTs = shown.flatMap(({ points }) => points.slice(0, 1).map(({ ts }) => ts));
  const fromMs = Math.min(answer.since, ...firstTs);
  const title = `${aggregate} of ${metric}${unit === '' ? '' : `, ${unit}`} (times of ${zone})`;
  const series = shown.map(({ key, points }) => ({
    name: printable(key),
    spans: points.map((point, index) => shifted(spanOf(point, bucketMs, points[index + 1]?.ts), fromMs)),
  }));
  const ticks = timeTicks(fromMs, until, zone);
  const chart = {
    panels: [{ kind: 'series', title, series, rows: ROWS }],
    marks: [],
    // Since the begin: a scale of times since the epoch could not tell minutes apart.
    ...{ fromMs: 0, toMs: until - fromMs },
    ticks: (columns: number) => ticks(columns).map(({ x, text }) => ({ x: x - fromMs, text })),
  } as const;
  return { lines: drawChart(chart, look), left: answer.series.length - shown.length };
}

/** In the order of the answer. */
function busiest(series: readonly Series[]): Series[] {
  const countOf = ({ points }: Series): number => points.reduce((sum, { count }) => sum + count, 0);
  const chosen = new Set(series.toSorted((a, b) => countOf(b) - countOf(a)).slice(0, MAX_SERIES));
  return series.filter((each) => chosen.has(each));
}

/** A day may have an hour more or less than its bucket's length: it still ends where the next one begins. */
function spanOf(point: Series['points'][number], bucketMs: number, nextTs: number | undefined): Span {
  const end = point.ts + bucketMs;
  const to = nextTs !== undefined && nextTs < end + bucketMs / 2 ? nextTs : end;
  return { from: point.ts, to, y: point.value };
}

function shifted({ from, to, y }: Span, byMs: number): Span {
  return { from: from - byMs, to: to - byMs, y };
}
