import { isShown, PlotGrid, type Point, type Scale, scaleOf } from './plot.ts';

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

export interface Chart {
  /** One under the other, on the same axis. */
  readonly panels: readonly (DotPanel | StepPanel)[];
  readonly marks: readonly Mark[];
  /** Ends of the time axis, milliseconds. */
  readonly fromMs: number;
  readonly toMs: number;
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
    ...axisLines(frame),
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

function panelScale(panel: DotPanel | StepPanel): PanelScale {
  return panel.kind === 'dots' ? dotScale(panel) : stepScale(panel);
}

function dotScale({ points, limit, rows: asked, top }: DotPanel): PanelScale {
  const rows = Math.min(MAX_ROWS, Math.max(2, Math.floor(Number.isFinite(asked) ? asked : 2)));
  const highest = extent([...points, ...limit])?.max ?? 1;
  const wanted = top !== undefined && Number.isFinite(top) ? top : highest;
  const max = wanted > 0 ? wanted : 1;
  const middle = Math.floor((rows - 1) / 2);
  const valueAt = (row: number): number => max * (1 - (row + 0.5) / rows);
  const ticks = [...new Set([0, middle, rows - 1])].map((row) => ({ row, text: shortNumber(valueAt(row)) }));
  return { rows, min: 0, max, ticks };
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

function shortNumber(value: number): string {
  return String(Number(value.toPrecision(2)));
}

function panelLines(panel: DotPanel | StepPanel, scale: PanelScale | undefined, frame: Frame): string[] {
  if (scale === undefined) return [];
  const yScale = scaleOf(scale.min, scale.max, scale.rows);
  const grid = new PlotGrid(frame.xScale, yScale);
  for (const column of frame.lines) grid.vertical(column);
  if (panel.kind === 'dots') {
    grid.level(panel.limit);
    grid.dots(panel.points, panel.limit);
  } else grid.steps(panel.points);
  const texts = new Map(scale.ticks.map(({ row, text }) => [row, text]));
  const rows = grid.rows(frame.color).map((text, row) => {
    const label = (texts.get(row) ?? '').padStart(frame.gutter);
    return joined(`${label}┤`, text, frame);
  });
  return [cut(`${' '.repeat(frame.gutter)} ${panel.title}`, frame), ...rows];
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

function axisLines(frame: Frame): string[] {
  const { xScale, gutter } = frame;
  const spanMs = xScale.max - xScale.min;
  const stepMs = tickStepMs(spanMs, xScale.cells);
  const cells = Array.from({ length: xScale.cells }, () => '─');
  let labels = '';
  for (let index = 0; index * stepMs <= spanMs; index += 1) {
    const sinceMs = index * stepMs;
    const column = xScale.cell(xScale.min + sinceMs);
    cells[column] = '┬';
    const text = `${Number((sinceMs / 1_000).toPrecision(3))}s`;
    const start = Math.min(column, Math.max(0, xScale.cells - text.length));
    if (labels === '' || start > labels.length) labels = labels.padEnd(start) + text;
  }
  const blank = ' '.repeat(gutter);
  return [joined(`${blank}└`, cells.join(''), frame), cut(`${blank} ${labels}`, frame)];
}

/** A round time between two ticks, so long that their labels have room. */
function tickStepMs(spanMs: number, cells: number): number {
  const atLeastMs = (spanMs / cells) * TICK_SPACING;
  const power = 10 ** Math.floor(Math.log10(atLeastMs));
  return power * ([1, 2, 5].find((factor) => factor * power >= atLeastMs) ?? 10);
}
