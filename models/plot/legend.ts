import type { Marker } from './series.ts';
import { line, marker, text, textWidth } from './svg-elements.ts';

/** A line of the legend; `color` is the class that gives it. */
export interface LegendEntry {
  readonly name: string;
  readonly color: string;
  readonly marker: Marker;
  readonly hasLine: boolean;
}

const ROW = 20;
const SYMBOL = 26;
const SYMBOL_WITHOUT_LINE = 14;
const GAP = 18;
const FONT_SIZE = 12;

/**
 * Draws the legend in rows from one side to the other.
 * @returns what to draw, and where its last row ends
 */
export function legend(
  entries: readonly LegendEntry[],
  area: { readonly left: number; readonly right: number; readonly top: number },
): { svg: string; bottom: number } {
  let x = area.left;
  let y = area.top;
  const parts = entries.map((entry) => {
    const width = symbolWidth(entry) + textWidth(entry.name, FONT_SIZE) + GAP;
    if (x > area.left && x + width - GAP > area.right) {
      x = area.left;
      y += ROW;
    }
    const part = drawEntry(entry, x, y + ROW / 2);
    x += width;
    return part;
  });
  return { svg: parts.join('\n'), bottom: entries.length === 0 ? area.top : y + ROW };
}

function symbolWidth({ hasLine }: LegendEntry): number {
  return hasLine ? SYMBOL : SYMBOL_WITHOUT_LINE;
}

function drawEntry(entry: LegendEntry, x: number, y: number): string {
  const { name, color, marker: form, hasLine } = entry;
  const middle = { x: x + (hasLine ? 10 : 5), y };
  const isSample = color === 'sample';
  return [
    `<g class="${isSample ? '' : color}">`,
    hasLine ? line({ x, y }, { x: x + 20, y }, 'line') : '',
    marker(form, middle, 4.5, isSample ? 'sample' : 'mark'),
    text({ x: x + symbolWidth(entry), y: y + 4 }, name, 'text'),
    '</g>',
  ].join('');
}
