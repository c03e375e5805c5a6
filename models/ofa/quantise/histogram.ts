import { AppError } from '../../../shared/errors.ts';

/** Bins on each side of zero. */
const HALF = 2_048;

/** Where widths begin; they double as greater values come. */
const SMALLEST_WIDTH = 2 ** -40;

/**
 * Counts values in bins of equal width, without knowing their range beforehand: the width is a power of two
 * that doubles, two bins becoming one, whenever a value lies outside. So the result does not depend on the
 * order in which values come, and hardly on the last digits of a machine's arithmetic.
 */
export class Histogram {
  /** For messages. */
  readonly name: string;
  /** Bin `i` counts values from (i - bins / 2) * width, included, to one width more. Zeros are not among them. */
  readonly counts = new Float64Array(2 * HALF);
  #width = SMALLEST_WIDTH;
  #total = 0;
  #min = Number.POSITIVE_INFINITY;
  #max = Number.NEGATIVE_INFINITY;

  constructor(name: string) {
    this.name = name;
  }

  /** Of a bin. */
  get width(): number {
    return this.#width;
  }

  /** Number of values, zeros included. */
  get total(): number {
    return this.#total;
  }

  /** Infinite while there is no value. */
  get min(): number {
    return this.#min;
  }

  get max(): number {
    return this.#max;
  }

  /**
   * Counts values.
   * @param least values below count as this
   * @throws AppError `invalid` for a value that is not finite
   */
  add(values: Float32Array, least = Number.NEGATIVE_INFINITY): void {
    const { counts } = this;
    let [width, min, max] = [this.#width, this.#min, this.#max];
    for (const given of values) {
      if (!Number.isFinite(given)) {
        throw new AppError('invalid', `range of ${this.name}: found the value ${given}`);
      }
      // Adding makes the zero below zero the one above, so that the extremes do not tell which came first.
      const value = (given < least ? least : given) + 0;
      if (value < min) min = value;
      if (value > max) max = value;
      if (value === 0) continue;
      for (; Math.abs(value) >= HALF * width; width *= 2) joinPairs(counts);
      const bin = Math.floor(value / width) + HALF;
      counts[bin] = (counts[bin] ?? 0) + 1;
    }
    [this.#width, this.#min, this.#max] = [width, min, max];
    this.#total += values.length;
  }
}

/** Makes bins twice as wide, from zero outwards on both sides. */
function joinPairs(counts: Float64Array): void {
  for (let bin = 0; bin < HALF; bin += 1) {
    const up = HALF + 2 * bin;
    const down = HALF - 1 - 2 * bin;
    counts[HALF + bin] = (counts[up] ?? 0) + (counts[up + 1] ?? 0);
    counts[HALF - 1 - bin] = (counts[down] ?? 0) + (counts[down - 1] ?? 0);
  }
}
