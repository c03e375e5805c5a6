import { uniformInt } from 'pure-rand/distribution/uniformInt';
import { xoroshiro128plus } from 'pure-rand/generator/xoroshiro128plus';

/** Random numbers that depend on nothing but the seed. */
export interface Random {
  /** A whole number, 0 to `count` - 1. */
  below(count: number): number;
  /** A number of the standard normal distribution. */
  normal(): number;
}

const UNIT = 2 ** 31;

/** @param seed a whole number; only its lower 32 bits count */
export function seededRandom(seed: number): Random {
  const generator = xoroshiro128plus(seed);
  const below = (count: number): number => uniformInt(generator, 0, count - 1);
  // Above 0: its logarithm is taken.
  const fraction = (): number => (below(UNIT) + 1) / UNIT;
  return {
    below,
    /** Box and Muller 1958. */
    normal: () => Math.sqrt(-2 * Math.log(fraction())) * Math.cos(2 * Math.PI * fraction()),
  };
}

/** One of the values, each as likely; the caller has at least one. */
export function pick<T>(random: Random, values: readonly T[]): T {
  return values[random.below(values.length)] as T;
}
