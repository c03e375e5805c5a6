import { AppError } from '../../shared/errors.ts';
import type { ImageShape } from '../../shared/images/decode.ts';

/** How frames become what a model of normalised floats takes. */
export interface Preprocess {
  /** Of pixels as 0..1, one value per channel. */
  readonly mean: readonly number[];
  readonly std: readonly number[];
  /** Side of the square that the network sees, in pixels; where the model says it, it must agree. */
  readonly resolution?: number;
}

/** Where a pixel of the result lies between two of the source. */
interface Tap {
  readonly before: number;
  readonly after: number;
  /** Weight of `after`, 0..1. */
  readonly share: number;
}

/**
 * Makes the preparation of frames: bilinear to r x r with half-pixel centres, edges clamped and no
 * anti-aliasing, in float without rounding to 8 bits; then (v / 255 - mean) / std, channels first. The same
 * as Resize inside of a family's graphs does.
 * @returns a function that writes the channels x r x r floats of one frame into `into`
 * @throws AppError `config` when mean and std do not have a value per channel
 */
export function preprocessor(
  [height, width, channels]: ImageShape,
  resolution: number,
  { mean, std }: Preprocess,
): (frame: Uint8Array, into: Float32Array) => void {
  if (mean.length !== channels || std.length !== channels) {
    throw new AppError(
      'config',
      `preprocess: mean has ${mean.length} and std ${std.length} values, images have ${channels} channels`,
    );
  }
  const rows = taps(height, resolution);
  const columns = taps(width, resolution);
  return (frame, into) => {
    const pixelAt = (row: number, column: number, channel: number): number =>
      frame[(row * width + column) * channels + channel] ?? 0;
    let at = 0;
    for (let channel = 0; channel < channels; channel += 1) {
      const scale = 1 / (255 * (std[channel] ?? 1));
      const shift = (mean[channel] ?? 0) / (std[channel] ?? 1);
      for (const row of rows) {
        for (const column of columns) {
          const above = between(column, (x) => pixelAt(row.before, x, channel));
          const below = between(column, (x) => pixelAt(row.after, x, channel));
          into[at] = (above + (below - above) * row.share) * scale - shift;
          at += 1;
        }
      }
    }
  };
}

function between({ before, after, share }: Tap, valueAt: (index: number) => number): number {
  const first = valueAt(before);
  return first + (valueAt(after) - first) * share;
}

/** s = (i + 0.5) * size / resolution - 0.5, neighbours clamped to the edge. */
function taps(size: number, resolution: number): Tap[] {
  return Array.from({ length: resolution }, (_, index) => {
    const place = ((index + 0.5) * size) / resolution - 0.5;
    const before = Math.floor(place);
    const clamp = (at: number): number => Math.min(Math.max(at, 0), size - 1);
    return { before: clamp(before), after: clamp(before + 1), share: place - before };
  });
}
