import { type Tradeoff, undominated } from '../pareto.ts';
import { selectLevels } from '../search/levels.ts';

/**
 * Chooses levels of points that no other one beats in both respects: always the fastest, which is what is
 * left when other programs take the machine, and the most accurate; between them those that keep the most
 * of the hypervolume.
 * @param count at least 1; a single level is the one that keeps the most by itself
 * @returns cheapest first; fewer where there are not so many
 */
export function chooseLevels<T extends Tradeoff>(points: readonly T[], count: number): T[] {
  const front = undominated(points);
  if (front.length <= count || count === 1) return selectLevels(front, count);
  const ends = [front[0], front.at(-1)].filter((end) => end !== undefined);
  const inner = count > ends.length ? selectLevels(front.slice(1, -1), count - ends.length) : [];
  return undominated([...ends, ...inner]);
}
