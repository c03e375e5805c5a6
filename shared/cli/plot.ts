/** One value at one time; a value that is not finite is not drawn. */
export interface Point {
  readonly x: number;
  readonly y: number;
}

/** A range of values laid over cells, the lowest value in cell 0. */
export interface Scale {
  readonly min: number;
  readonly max: number;
  readonly cells: number;
  /** The cell of a value, within the cells whatever the value. */
  cell(value: number): number;
  /** Like `cell`, with `parts` of them in each cell. */
  part(value: number, parts: number): number;
  /** The value at the beginning of a cell. */
  value(cell: number): number;
}

/** Lays a range over a number of cells; a range of nothing, or of less than numbers can tell, becomes one of 1 or more. */
export function scaleOf(min: number, max: number, cells: number): Scale {
  const low = Number.isFinite(min) ? min : 0;
  const least = Math.max(1e-6, Math.abs(low) * 1e-6);
  const isRange = Number.isFinite(max - low) && max - low >= least;
  const high = isRange ? max : low + Math.max(1, least);
  const count = Math.max(1, cells);
  const part = (value: number, parts: number): number => {
    const index = Math.floor(((value - low) / (high - low)) * count * parts);
    return Number.isNaN(index) ? 0 : Math.min(count * parts - 1, Math.max(0, index));
  };
  return {
    min: low,
    max: high,
    cells: count,
    part,
    cell: (value) => part(value, 1),
    value: (cell) => low + (cell / count) * (high - low),
  };
}

/** Whether a value lies on the scale. */
export function isShown(value: number, { min, max }: Scale): boolean {
  return value >= min && value <= max;
}

/** One value from one time to another. */
export interface Span {
  readonly from: number;
  readonly to: number;
  readonly y: number;
}

/** What a character of the plot stands for, which is also what gives it its colour; a number is one of several series. */
export type Ink = 'value' | 'over' | 'limit' | 'mark' | number;

const COLORS = { value: '36', over: '31', limit: '33', mark: '2' } as const;
const SERIES_COLORS = ['36', '33', '32', '35', '34', '31', '37', '90'] as const;

interface Cell {
  readonly text: string;
  readonly ink: Ink;
}

/** Dots of a braille character: two columns of four, by column and row (Unicode, block U+2800). */
const BRAILLE = 0x28_00;
const DOT_BITS = [
  [0x01, 0x02, 0x04, 0x40],
  [0x08, 0x10, 0x20, 0x80],
] as const;

/** Characters in rows and columns that are drawn upon; what is drawn later lies on top. */
export class PlotGrid {
  readonly #x: Scale;
  readonly #y: Scale;
  readonly #cells = new Map<number, Cell>();
  readonly #dots = new Map<number, number>();

  constructor(x: Scale, y: Scale) {
    this.#x = x;
    this.#y = y;
  }

  /** A line from top to bottom. */
  vertical(column: number): void {
    for (let row = 0; row < this.#y.cells; row += 1) this.#put(column, row, { text: '┊', ink: 'mark' });
  }

  /** A horizontal line at the value in force, which may change. */
  level(points: readonly Point[]): void {
    this.#eachColumn(points, (column, low) => {
      if (isShown(low, this.#y)) this.#put(column, this.#y.cell(low), { text: '╌', ink: 'limit' });
    });
  }

  /** Dots, eight to a character; those over the limit in force have another colour. */
  dots(points: readonly Point[], limit: readonly Point[]): void {
    const limitAt = stepFunction(limit);
    for (const { x, y } of points) {
      if (!isShown(x, this.#x) || !Number.isFinite(y) || y < this.#y.min) continue;
      const isOver = y > (limitAt(x) ?? Number.POSITIVE_INFINITY);
      this.#dot(this.#x.part(x, 2), this.#y.part(y, 4), isOver ? 'over' : 'value');
    }
  }

  /**
   * A line that is level over each span, with a stroke up or down where one begins as the last ends: between
   * spans that do not touch nothing is drawn.
   * @param mark what it is drawn with: without one dots, eight to a character
   */
  line(spans: readonly Span[], mark: { readonly text: string; readonly ink: Ink } | undefined): void {
    const [parts, rows] = mark === undefined ? [2, 4] : [1, 1];
    let last: { readonly to: number; readonly row: number } | undefined;
    for (const { from, to, y } of spans) {
      if (!Number.isFinite(y) || !(from <= this.#x.max) || !(to >= this.#x.min)) continue;
      const row = this.#y.part(y, rows);
      const first = this.#x.part(from, parts);
      const past = to >= this.#x.max ? this.#x.cells * parts : Math.max(first + 1, this.#x.part(to, parts));
      const joined = last !== undefined && from <= last.to ? last.row : row;
      for (let each = Math.min(row, joined); each <= Math.max(row, joined); each += 1) {
        this.#draw(first, each, mark);
      }
      for (let column = first + 1; column < past; column += 1) this.#draw(column, row, mark);
      last = { to, row };
    }
  }

  #draw(column: number, row: number, mark: Cell | undefined): void {
    if (mark === undefined) this.#dot(column, row, 'value');
    else this.#put(column, row, mark);
  }

  /** `column` and `row` count dots, from the left and from the bottom. */
  #dot(column: number, row: number, ink: Ink): void {
    const dotRow = this.#y.cells * 4 - 1 - row;
    const index = this.#index(Math.floor(column / 2), Math.floor(dotRow / 4));
    const bit = DOT_BITS[column % 2 === 0 ? 0 : 1][dotRow % 4] ?? 0;
    const bits = (this.#dots.get(index) ?? 0) | bit;
    const wasOver = this.#dots.has(index) && this.#cells.get(index)?.ink === 'over';
    this.#dots.set(index, bits);
    this.#cells.set(index, { text: String.fromCodePoint(BRAILLE + bits), ink: wasOver ? 'over' : ink });
  }

  /** A line of steps: in each column all values that were in force there. */
  steps(points: readonly Point[]): void {
    this.#eachColumn(points, (column, low, high) => {
      const rows = [this.#row(high), this.#row(low)] as const;
      for (let row = rows[0]; row <= rows[1]; row += 1) {
        this.#cells.set(column + row * this.#x.cells, {
          text: rows[0] === rows[1] ? '━' : '┃',
          ink: 'value',
        });
      }
    });
  }

  /** Rows from the top, all of one width. */
  rows(color: boolean): string[] {
    return Array.from({ length: this.#y.cells }, (_, row) => {
      const cells = Array.from({ length: this.#x.cells }, (__, column) =>
        this.#cells.get(column + row * this.#x.cells),
      );
      return cells.map((cell) => inked(cell, color)).join('');
    });
  }

  /** `row` counts from the bottom, as values do. */
  #put(column: number, row: number, cell: Cell): void {
    this.#cells.set(this.#index(column, this.#y.cells - 1 - row), cell);
  }

  #row(value: number): number {
    return this.#y.cells - 1 - this.#y.cell(value);
  }

  /** `row` counts from the top, as text does. */
  #index(column: number, row: number): number {
    return column + row * this.#x.cells;
  }

  /** Calls back with the lowest and highest value in force within each column, from the first point on. */
  #eachColumn(points: readonly Point[], draw: (column: number, low: number, high: number) => void): void {
    const known = points
      .filter(({ x, y }) => Number.isFinite(x) && Number.isFinite(y))
      .toSorted((a, b) => a.x - b.x);
    let next = 0;
    let current: number | undefined;
    for (let column = 0; column < this.#x.cells; column += 1) {
      const inside: number[] = [];
      const end = this.#x.value(column + 1);
      for (; next < known.length && (known[next]?.x ?? 0) < end; next += 1) inside.push(known[next]?.y ?? 0);
      const values = current === undefined ? inside : [current, ...inside];
      if (values.length > 0) {
        draw(
          column,
          values.reduce((a, b) => Math.min(a, b)),
          values.reduce((a, b) => Math.max(a, b)),
        );
      }
      current = inside.at(-1) ?? current;
    }
  }
}

/** The value in force at a time: that of the last point not after it. */
function stepFunction(points: readonly Point[]): (x: number) => number | undefined {
  const sorted = points.filter(({ y }) => Number.isFinite(y)).toSorted((a, b) => a.x - b.x);
  return (x) => sorted.findLast((point) => point.x <= x)?.y;
}

function inked(cell: Cell | undefined, color: boolean): string {
  if (cell === undefined) return ' ';
  return color ? colored(cell.text, cell.ink) : cell.text;
}

/** Text in the colour of what it stands for, as escape codes of a terminal. */
export function colored(text: string, ink: Ink): string {
  const code = typeof ink === 'number' ? SERIES_COLORS[ink % SERIES_COLORS.length] : COLORS[ink];
  return `\u001b[${code}m${text}\u001b[0m`;
}
