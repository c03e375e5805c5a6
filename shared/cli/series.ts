import { colored, type PlotGrid, type Span } from './plot.ts';

/** Values over time as lines on one scale: one line a series, which is broken where nothing is known. */
export interface SeriesPanel {
  readonly kind: 'series';
  /** What is drawn, with its unit. */
  readonly title: string;
  /** More than `MAX_SERIES` are not drawn. */
  readonly series: readonly Series[];
  /** Rows of text. */
  readonly rows: number;
}

export interface Series {
  readonly name: string;
  readonly spans: readonly Span[];
}

/** More lines than this in one picture nobody can tell apart. */
export const MAX_SERIES = 8;

/** So that series are told apart without colours, too. */
const MARKS = ['●', '▲', '■', '◆', '○', '△', '□', '◇'] as const;

/** Ends of the scale: from 0 where that leaves enough to see of how the values differ. */
export function seriesRange(series: readonly Series[]): { readonly min: number; readonly max: number } {
  let min = Number.POSITIVE_INFINITY;
  let max = Number.NEGATIVE_INFINITY;
  for (const { y } of series.flatMap(({ spans }) => spans)) {
    if (!Number.isFinite(y)) continue;
    min = Math.min(min, y);
    max = Math.max(max, y);
  }
  if (min > max) return { min: 0, max: 1 };
  if (min >= 0 && min <= max * 0.6) return { min: 0, max: max > 0 ? max : 1 };
  const room = (max - min) * 0.05 || Math.abs(max) * 0.05;
  return { min: min - room, max: max + room };
}

/** Draws the lines; the first of them lies on top. */
export function drawSeries(grid: PlotGrid, series: readonly Series[]): void {
  const drawn = series.slice(0, MAX_SERIES);
  // Dots are finer, but of two lines of dots nobody knows which is which.
  const [only, ...others] = drawn;
  if (only !== undefined && others.length === 0) {
    grid.line(only.spans, undefined);
    return;
  }
  for (const [ink, { spans }] of [...drawn.entries()].reverse()) {
    grid.line(spans, { text: MARKS[ink] ?? '', ink });
  }
}

/** Names of the series with their marks, in lines of at most `width` characters; none for one without a name. */
export function legendLines(
  series: readonly Series[],
  { width, color }: { readonly width: number; readonly color: boolean },
): string[] {
  if (series.every(({ name }) => name === '')) return [];
  const lines: { text: string; length: number }[] = [];
  for (const [ink, { name }] of series.slice(0, MAX_SERIES).entries()) {
    const mark = series.length === 1 ? '' : `${MARKS[ink]} `;
    const item = `${mark}${name}`.slice(0, width);
    const text = color ? item.replace(mark, mark === '' ? '' : colored(mark, ink)) : item;
    const last = lines.at(-1);
    if (last === undefined || last.length + 3 + item.length > width)
      lines.push({ text, length: item.length });
    else {
      last.text += `   ${text}`;
      last.length += 3 + item.length;
    }
  }
  return lines.map(({ text }) => text);
}
