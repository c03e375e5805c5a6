import { DISTRIBUTIONS, type DistributionName, type WindowBody } from '../../../shared/protocol/window.ts';
import { fromWire, type WireWindow } from '../../../shared/protocol/window-wire.ts';
import { Sketch } from '../../../shared/sketch.ts';
import { addWindow, type Summary } from '../summary/summary.ts';
import type { RawRow } from './source.ts';

const EMPTY_SKETCH = new Sketch().encode();

/** The window of a stored row; it was checked when it came in. */
export function windowOf({ body }: Pick<RawRow, 'body'>): WindowBody {
  return fromWire(JSON.parse(body) as WireWindow);
}

/**
 * Adds a stored window to a summary.
 * @param wanted the sketches to decode, which takes most of the time; the others stay empty
 */
export function mergeWindow(
  into: Summary,
  row: Pick<RawRow, 'body' | 'flags'>,
  wanted: DistributionName | undefined,
): void {
  const window = windowOf(row);
  for (const point of window.points) {
    for (const name of DISTRIBUTIONS) {
      const values = point[name];
      if (values !== undefined && name !== wanted) values.sketch = EMPTY_SKETCH;
    }
  }
  addWindow(into, window, row.flags);
}
