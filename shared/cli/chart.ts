import { isShown, PlotGrid, type Point, type Scale, scaleOf } from './plot.ts';
import { drawSeries, legendLines, type SeriesPanel, seriesRange } from './series.ts';

/** Values over time that are drawn as dots, with a limit that they are held against. */
export interface DotPanel {
  readonly kind: 'dots';
  /** What is drawn, with its unit. */
  readonly title: string;
  readonly points: readonly Point[];
  /** The limit from each time on, until the next one. */
  readonly limit: readonly Point[];
  /** Rows of text. */
  readonly rows: number;
  /** Top of the scale, which begins at 0; what is higher is drawn there. Without it the highest value. */
  readonly top?: number;
}

/** A whole number over time that is drawn as a line of steps, one row of text a number. */
export interface StepPanel {
  readonly kind: 'steps';
  readonly title: string;
  readonly points: readonly Point[];
}

/** Something that happened: a line through all panels with its name, or without one a small mark under the first. */
export interface Mark {
  readonly x: number;
  readonly name?: string;
}

export type Panel = DotPanel | StepPanel | SeriesPanel;

/** A place on the time axis with what stands under it. */
export interface Tick {
  readonly x: number;
  readonly text: string;
}

export interface Chart {
  /** One under the other, on the same axis. */
  readonly panels: readonly Panel[];
  readonly marks: readonly Mark[];
  /** Ends of the time axis, milliseconds. */
  readonly fromMs: number;
  readonly toMs: number;
  /** Where ticks are on an axis of so many characters, in their order; without it seconds since its begin. */
  readonly ticks?: (columns: number) => readonly Tick[];
}

export interface ChartLook {
  /** Characters that a line may have; more than 200 are not used. */
  readonly width: number;
  readonly color: boolean;
}

const MAX_WIDTH = 200;
const MAX_ROWS = 40;
/** A family of more levels than this is drawn with several of them in a row. */
const MAX_STEP_ROWS = 12;
/** Rows for the names of marks that would overlap. */
const NAME_ROWS = 3;
const TICK_SPACING = 9;

/**
 * Draws values over time as text: every panel with its scale, the time axis in seconds under the last one.
 * Values that are not finite, or outside of the axis, are left out.
 * @returns lines without line feeds, none longer than the width (escape codes for colours not counted)
 */
export function drawChart(chart: Chart, { width, color }: ChartLook): string[] {
  const columns = Number.isNaN(width) ? MAX_WIDTH : Math.min(MAX_WIDTH, Math.max(0, Math.floor(width)));
  const scales = chart.panels.map(panelScale);
  const labels = scales.map(({ ticks }) => ticks);
  const gutter = Math.max(1, ...labels.flat().map(({ text }) => text.length));
  const plotColumns = Math.max(1, columns - gutter - 1);
  const xScale = scaleOf(chart.fromMs, chart.toMs, plotColumns);
  const named = chart.marks.filter(({ name, x }) => name !== undefined && isShown(x, xScale));
  const frame: Frame = { columns, gutter, color, xScale, lines: named.map(({ x }) => xScale.cell(x)) };
  const panels = chart.panels.map((panel, index) => panelLines(panel, scales[index], frame));
  const ticks = chart.marks.filter(({ name, x }) => name === undefined && isShown(x, xScale));
  const [first = [], ...others] = panels;
  return [
    ...nameLines(named, frame),
    ...first,
    ...(ticks.length === 0 ? [] : [tickLine(ticks, frame)]),
    ...others.flat(),
    ...axisLines(frame, chart.ticks?.(plotColumns) ?? secondTicks(xScale)),
  ];
}

/** What all parts of a chart share. */
interface Frame {
  readonly columns: number;
  /** Characters left of the axis. */
  readonly gutter: number;
  readonly color: boolean;
  readonly xScale: Scale;
  /** Columns with a line through all panels. */
  readonly lines: readonly number[];
}

interface PanelScale {
  readonly rows: number;
  readonly min: number;
  readonly max: number;
  /** What stands left of the axis, by row from the top. */
  readonly ticks: readonly { readonly row: number; readonly text: string }[];
}

function panelScale(panel: Panel): PanelScale {
  switch (panel.kind) {
    case 'dots':
      return dotScale(panel);
    case 'steps':
      return stepScale(panel);
    case 'series':
      return linearScale(seriesRange(panel.series), rowsOf(panel.rows));
  }
}

function rowsOf(asked: number): number {
  return Math.min(MAX_ROWS, Math.max(2, Math.floor(Number.isFinite(asked) ? asked : 2)));
}

function dotScale({ points, limit, rows: asked, top }: DotPanel): PanelScale {
  const highest = extent([...points, ...limit])?.max ?? 1;
  const wanted = top !== undefined && Number.isFinite(top) ? top : highest;
  return linearScale({ min: 0, max: wanted > 0 ? wanted : 1 }, rowsOf(asked));
}

function linearScale({ min, max }: { readonly min: number; readonly max: number }, rows: number): PanelScale {
  const middle = Math.floor((rows - 1) / 2);
  const valueAt = (row: number): number => min + (max - min) * (1 - (row + 0.5) / rows);
  // More digits where the scale is a small part of its values: two would say the same on each row.
  const digits = max - min < Math.abs(max) / 2 ? 4 : 2;
  const ticks = [...new Set([0, middle, rows - 1])].map((row) => ({
    row,
    text: shortNumber(valueAt(row), digits),
  }));
  return { rows, min, max, ticks };
}

function stepScale({ points }: StepPanel): PanelScale {
  const { min, max } = extent(points) ?? { min: 0, max: 0 };
  const lowest = Math.floor(min);
  const rows = Math.min(MAX_STEP_ROWS, Math.max(1, Math.floor(max) - lowest + 1));
  const perRow = (Math.floor(max) - lowest + 1) / rows;
  const ticks = Array.from({ length: rows }, (_, row) => ({
    row,
    text: shortNumber(Math.floor(lowest + (rows - 1 - row) * perRow)),
  }));
  return { rows, min: lowest, max: lowest + rows * perRow, ticks };
}

function extent(points: readonly Point[]): { min: number; max: number } | undefined {
  let min = Number.POSITIVE_INFINITY;
  let max = Number.NEGATIVE_INFINITY;
  for (const { y } of points) {
    if (!Number.isFinite(y)) continue;
    min = Math.min(min, y);
    max = Math.max(max, y);
  }
  return min <= max ? { min, max } : undefined;
}

function shortNumber(value: number, digits = 2): string {
  return String(Number(value.toPrecision(digits)));
}

function panelLines(panel: Panel, scale: PanelScale | undefined, frame: Frame): string[] {
  if (scale === undefined) return [];
  const yScale = scaleOf(scale.min, scale.max, scale.rows);
  const grid = new PlotGrid(frame.xScale, yScale);
  for (const column of frame.lines) grid.vertical(column);
  drawPanel(grid, panel);
  const texts = new Map(scale.ticks.map(({ row, text }) => [row, text]));
  const rows = grid.rows(frame.color).map((text, row) => {
    const label = (texts.get(row) ?? '').padStart(frame.gutter);
    return joined(`${label}┤`, text, frame);
  });
  return [cut(`${' '.repeat(frame.gutter)} ${panel.title}`, frame), ...legendOf(panel, frame), ...rows];
}

function drawPanel(grid: PlotGrid, panel: Panel): void {
  switch (panel.kind) {
    case 'dots':
      grid.level(panel.limit);
      grid.dots(panel.points, panel.limit);
      return;
    case 'steps':
      grid.steps(panel.points);
      return;
    case 'series':
      drawSeries(grid, panel.series);
  }
}

function legendOf(panel: Panel, { columns, gutter, color }: Frame): string[] {
  const width = columns - gutter - 1;
  if (panel.kind !== 'series' || width < 1) return [];
  return legendLines(panel.series, { width, color }).map((line) => `${' '.repeat(gutter)} ${line}`);
}

/** A line within the width: the plot is already, unless there is no room for it at all. */
function joined(head: string, plot: string, { columns, gutter }: Frame): string {
  return columns > gutter + 1 ? head + plot : head.slice(0, columns);
}

function cut(text: string, { columns }: Frame): string {
  return text.slice(0, columns).trimEnd();
}

/** Names of marks over their lines, in as many rows as it takes so that none covers another. */
function nameLines(named: readonly Mark[], frame: Frame): string[] {
  const rows: string[] = [];
  for (const { x, name = '' } of named) {
    const text = `▼${name}`;
    const start =
      frame.gutter + 1 + Math.min(frame.xScale.cell(x), Math.max(0, frame.xScale.cells - text.length));
    const free = rows.findIndex((row) => row.length < start);
    const row = free >= 0 ? free : rows.length;
    if (row < NAME_ROWS) rows[row] = (rows[row] ?? '').padEnd(start) + text;
  }
  return rows.map((row) => cut(row, frame));
}

function tickLine(ticks: readonly Mark[], frame: Frame): string {
  const cells = Array.from({ length: frame.xScale.cells }, () => ' ');
  for (const { x } of ticks) cells[frame.xScale.cell(x)] = '▴';
  return cut(`${' '.repeat(frame.gutter + 1)}${cells.join('')}`, frame);
}

function axisLines(frame: Frame, ticks: readonly Tick[]): string[] {
  const { xScale, gutter } = frame;
  const cells = Array.from({ length: xScale.cells }, () => '─');
  let labels = '';
  for (const { x, text } of ticks) {
    if (!isShown(x, xScale)) continue;
    const column = xScale.cell(x);
    cells[column] = '┬';
    const start = Math.min(column, Math.max(0, xScale.cells - text.length));
    if (labels === '' || start > labels.length) labels = labels.padEnd(start) + text;
  }
  const blank = ' '.repeat(gutter);
  return [joined(`${blank}└`, cells.join(''), frame), cut(`${blank} ${labels}`, frame)];
}

function secondTicks({ min, max, cells }: Scale): Tick[] {
  const spanMs = max - min;
  const stepMs = tickStepMs(spanMs, cells);
  return Array.from({ length: Math.floor(spanMs / stepMs) + 1 }, (_, index) => ({
    x: min + index * stepMs,
    text: `${Number(((index * stepMs) / 1_000).toPrecision(3))}s`,
  }));
}

/** A round time between two ticks, so long that their labels have room. */
function tickStepMs(spanMs: number, cells: number): number {
  const atLeastMs = (spanMs / cells) * TICK_SPACING;
  const power = 10 ** Math.floor(Math.log10(atLeastMs));
  return power * ([1, 2, 5].find((factor) => factor * power >= atLeastMs) ?? 10);
}
