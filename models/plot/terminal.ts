import { AppError } from '../../shared/errors.ts';
import { undominated } from '../pareto.ts';
import { type Axis, accuracyAxis, latencyAxis } from './axis.ts';
import { extentOf, type PlotPoint, type PlotSeries, shortened } from './series.ts';

export interface TextOptions {
  /** Of the whole drawing, in characters. */
  readonly width: number;
  readonly height: number;
  /** Plain ASCII, for terminals and logs that have no other characters. */
  readonly ascii?: boolean;
  /** Whether the latency axis is logarithmic; default: where latencies differ by more than 20 times. */
  readonly logLatency?: boolean;
}

interface Glyphs {
  readonly marks: readonly string[];
  readonly sample: string;
  readonly line: { readonly across: string; readonly up: string; readonly corner: string };
  readonly axis: { readonly across: string; readonly up: string; readonly corner: string };
  readonly tickX: string;
  readonly tickY: string;
}

const UNICODE: Glyphs = {
  marks: ['●', '■', '▲', '◆'],
  sample: '·',
  line: { across: '─', up: '│', corner: '┘' },
  axis: { across: '─', up: '│', corner: '└' },
  tickX: '┴',
  tickY: '┤',
};
const ASCII: Glyphs = {
  marks: ['o', 'x', '#', '@'],
  sample: '.',
  line: { across: '-', up: '|', corner: '+' },
  axis: { across: '-', up: '|', corner: '+' },
  tickX: '+',
  tickY: '+',
};

/** Smaller is no picture, larger no terminal. */
const MIN = { width: 30, height: 8 } as const;
const MAX = { width: 1_000, height: 500 } as const;
const Y_TEXT_WIDTH = 7;
const X_TICK_WIDTH = 8;
const ROWS_PER_Y_TICK = 2;
/** With more of them their texts might be wider than there is room. */
const MAX_Y_TICKS = 12;
const MAX_LABEL_CHARACTERS = 20;

/** Characters that may stand in a drawing: one cell wide in every terminal. */
const NOT_ASCII = /[^\x20-\x7e]/gu;
const NOT_NARROW = /[^\x20-\x7e\u00a1-\u00ac\u00ae-\u02ff\u0370-\u0482\u048a-\u052f…·─│●■▲◆]/gu;

/** Cells that are drawn on, row by row; row 0 is the top. */
interface Grid {
  readonly cells: string[][];
  readonly columns: number;
  readonly rows: number;
}

interface Spot {
  readonly column: number;
  readonly row: number;
}

/**
 * Draws accuracy (%) against latency (ms) for a terminal: what `paretoSvg` draws, in characters, without
 * error bars. Every line ends with a line feed and is at most `width` wide; labels stand where there is room.
 * @throws AppError `invalid` where there is no point, or one that cannot be drawn; `usage` for a size in which
 * nothing can be drawn
 */
export function paretoText(series: readonly PlotSeries[], options: TextOptions): string {
  checkSize(options);
  const extent = extentOf(series);
  const glyphs = options.ascii ? ASCII : UNICODE;
  const key = legendLines(series, glyphs, options);
  const columns = options.width - Y_TEXT_WIDTH - 2;
  // Above stands the name of the axis, below are the other axis, its ticks and its name.
  const rows = Math.max(3, options.height - 4 - key.length);
  const x = latencyAxis(
    extent.latencyMs,
    Math.max(3, Math.floor(columns / X_TICK_WIDTH)),
    options.logLatency,
  );
  const y = accuracyAxis(
    extent.accuracyPercent,
    Math.min(MAX_Y_TICKS, Math.max(3, Math.floor(rows / ROWS_PER_Y_TICK) + 1)),
  );
  const grid = { cells: Array.from({ length: rows }, () => blanks(columns)), columns, rows };
  drawSeries(
    grid,
    series,
    glyphs,
    ({ latencyMs, accuracy }) => ({
      column: Math.round(x.place(latencyMs) * (columns - 1)),
      row: rows - 1 - Math.round(y.place(100 * accuracy) * (rows - 1)),
    }),
    options.ascii === true,
  );
  const lines = [...key, 'accuracy (%)', ...withRows(grid, y, glyphs), ...latencyLines(columns, x, glyphs)];
  return lines.map((line) => `${line.trimEnd()}\n`).join('');
}

function checkSize({ width, height }: TextOptions): void {
  const fits = (value: number, key: 'width' | 'height'): boolean =>
    Number.isInteger(value) && value >= MIN[key] && value <= MAX[key];
  if (fits(width, 'width') && fits(height, 'height')) return;
  throw new AppError(
    'usage',
    `a drawing of ${width} x ${height} characters: expected ${MIN.width}..${MAX.width} x ${MIN.height}..${MAX.height}`,
  );
}

/** The mark of each series; the samples have theirs. */
function marksOf(series: readonly PlotSeries[], glyphs: Glyphs): string[] {
  let fronts = 0;
  return series.map(({ role }) => {
    if (role === 'samples') return glyphs.sample;
    fronts += 1;
    return glyphs.marks[(fronts - 1) % glyphs.marks.length] ?? '';
  });
}

/** One line per named series; what there is no room for is left out. */
function legendLines(series: readonly PlotSeries[], glyphs: Glyphs, options: TextOptions): string[] {
  const marks = marksOf(series, glyphs);
  const lines = series.flatMap(({ name }, index) => {
    const text = narrow(name, options.width - 2, options.ascii === true);
    return text === '' ? [] : [`${marks[index]} ${text}`];
  });
  return lines.slice(0, Math.max(0, options.height - 4 - 3));
}

function drawSeries(
  grid: Grid,
  series: readonly PlotSeries[],
  glyphs: Glyphs,
  spotOf: (point: PlotPoint) => Spot,
  ascii: boolean,
): void {
  const marks = marksOf(series, glyphs);
  const all = series.map((one, index) => ({
    ...one,
    mark: marks[index] ?? '',
    spots: one.points.map(spotOf),
  }));
  const fronts = all.filter(({ role }) => role === 'front');
  for (const { spots, mark, role } of all) if (role === 'samples') setAll(grid, spots, mark);
  for (const { points, line } of fronts) {
    if (line !== 'none') drawSteps(grid, undominated(points).map(spotOf), glyphs);
  }
  for (const { spots, mark } of fronts) setAll(grid, spots, mark);
  for (const { label, ...point } of fronts.flatMap(({ points }) => points)) {
    writeLabel(grid, spotOf(point), narrow(label ?? '', MAX_LABEL_CHARACTERS, ascii), glyphs);
  }
}

/** Straight lines too are drawn as steps: cells have no slope. */
function drawSteps(grid: Grid, spots: readonly Spot[], { line }: Glyphs): void {
  for (const [index, to] of spots.entries()) {
    const from = spots[index - 1];
    if (from === undefined) continue;
    for (let column = from.column; column < to.column; column += 1) {
      set(grid, { column, row: from.row }, line.across);
    }
    for (let row = to.row; row < from.row; row += 1) set(grid, { column: to.column, row }, line.up);
    if (to.row < from.row) set(grid, { column: to.column, row: from.row }, line.corner);
  }
}

/** Beside a mark, first where a front leaves room; over samples only where nothing is blank. */
function writeLabel(grid: Grid, spot: Spot, text: string, { sample }: Glyphs): void {
  const characters = Array.from(text);
  const length = characters.length;
  if (length === 0) return;
  const places = SIDES.map(([across, down]) => ({
    column: spot.column + across + (across < 0 ? 1 - length : 0),
    row: spot.row + down,
  }));
  const place = [[' '], [' ', sample]]
    .flatMap((blank) => places.filter((at) => isFree(grid, at, length, spot, blank)))
    .at(0);
  if (place === undefined) return;
  for (const [index, character] of characters.entries()) {
    set(grid, { column: place.column + index, row: place.row }, character);
  }
}

/** Where a label begins or ends from its mark, [across, down]. */
const SIDES = [
  [-2, 0],
  [-1, -1],
  [2, 0],
  [1, 1],
  [1, -1],
  [-1, 1],
] as const;

/** Whether a label finds blank cells, and one more to either side so that labels do not run into each other. */
function isFree(
  { cells, columns }: Grid,
  at: Spot,
  length: number,
  own: Spot,
  blank: readonly string[],
): boolean {
  const line = cells[at.row];
  if (line === undefined || at.column < 0 || at.column + length > columns) return false;
  for (let column = at.column - 1; column <= at.column + length; column += 1) {
    const cell = line[column];
    const isOwn = column === own.column && at.row === own.row;
    if (cell !== undefined && !isOwn && !blank.includes(cell)) return false;
  }
  return true;
}

/** The picture's rows behind their axis. */
function withRows({ cells, rows }: Grid, y: Axis, glyphs: Glyphs): string[] {
  const texts = new Map(
    y.ticks.map(({ value, text }) => [rows - 1 - Math.round(y.place(value) * (rows - 1)), text]),
  );
  return cells.map((row, index) => {
    const text = texts.get(index);
    const axis = text === undefined ? glyphs.axis.up : glyphs.tickY;
    return `${(text ?? '').padStart(Y_TEXT_WIDTH)} ${axis}${row.join('')}`;
  });
}

function latencyLines(columns: number, x: Axis, { axis, tickX }: Glyphs): string[] {
  const margin = ' '.repeat(Y_TEXT_WIDTH + 1);
  const rule = new Array<string>(columns).fill(axis.across);
  const texts = blanks(columns);
  let end = -1;
  for (const { value, text } of x.ticks) {
    const column = Math.round(x.place(value) * (columns - 1));
    rule[column] = tickX;
    const start = Math.min(columns - text.length, Math.max(0, column - Math.floor(text.length / 2)));
    if (start <= end) continue;
    for (const [index, character] of Array.from(text).entries()) texts[start + index] = character;
    end = start + text.length;
  }
  const name = x.isLog ? 'latency (ms, logarithmic)' : 'latency (ms)';
  return [
    `${margin}${axis.corner}${rule.join('')}`,
    `${margin} ${texts.join('')}`,
    `${margin} ${name.padStart(columns).slice(-columns)}`,
  ];
}

function blanks(count: number): string[] {
  return new Array<string>(count).fill(' ');
}

function set({ cells, columns }: Grid, { column, row }: Spot, character: string): void {
  const line = cells[row];
  if (line !== undefined && column >= 0 && column < columns) line[column] = character;
}

function setAll(grid: Grid, spots: readonly Spot[], character: string): void {
  for (const spot of spots) set(grid, spot, character);
}

/** Text from a file in characters that are one cell wide. */
function narrow(text: string, most: number, ascii: boolean): string {
  const short = shortened(text, most);
  if (!ascii) return short.replaceAll(NOT_NARROW, '?');
  return short.replaceAll('…', '~').replaceAll('·', '-').replaceAll(NOT_ASCII, '?');
}
