import { roundHalfEven } from '../round.ts';

/** Least and greatest value of an activation that are told apart; what lies beyond is clipped. */
export interface Range {
  readonly min: number;
  readonly max: number;
}

/** Ranges by the names that values have in the float graph. */
export type Ranges = ReadonlyMap<string, Range>;

/** How uint8 numbers stand for real ones: real = scale * (number - zeroPoint). */
export interface Affine {
  /** Representable as a 32-bit float. */
  readonly scale: number;
  readonly zeroPoint: number;
}

const LEVELS = 255;

/**
 * No scale is smaller: a constant activation or a channel without weights still has one, and the product of
 * two such scales is a normal 32-bit float.
 */
export const MIN_SCALE = 2 ** -48;

/**
 * The uint8 numbers of a range that is widened to include 0, which is then represented exactly: padding and
 * what ReLU cuts off stay true zeros. Inside of the range no value is off by more than half a scale (and
 * the rounding of the scale itself to 32 bits).
 */
export function affineOf(range: Range): Affine {
  const min = Math.min(range.min, 0);
  const max = Math.max(range.max, 0);
  const scale = Math.fround(Math.max((max - min) / LEVELS, MIN_SCALE));
  return { scale, zeroPoint: Math.min(LEVELS, roundHalfEven(Math.abs(min) / scale)) };
}
