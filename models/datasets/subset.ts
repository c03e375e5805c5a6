import { hash } from 'node:crypto';
import { AppError } from '../../shared/errors.ts';
import { sha256 } from '../../shared/files.ts';
import { type Dataset, itemAt } from './dataset.ts';

/** Which images: these, in this order; or so many, the first ones, or with a seed a random choice. */
export type SubsetOf = readonly number[] | { readonly count: number; readonly seed?: number };

/**
 * A part of a data set. The choice of a seed is the same everywhere, is in the order of the data set, and
 * holds that of every smaller count.
 * @throws AppError `usage` when it is empty or asks for an image that is not there
 */
export function subset(dataset: Dataset, of: SubsetOf): Dataset {
  const indices = 'count' in of ? chosen(dataset, of) : of;
  const wrong = indices.find(
    (index) => !(Number.isSafeInteger(index) && index >= 0 && index < dataset.count),
  );
  if (wrong !== undefined) {
    throw new AppError('usage', `${dataset.name}: there is no image ${wrong}, it has ${dataset.count}`);
  }
  if (indices.length === 0) throw new AppError('usage', `${dataset.name}: a part of it without an image`);
  return {
    ...dataset,
    count: indices.length,
    digest: sha256(JSON.stringify([dataset.digest, indices])),
    image: async (index) => await dataset.image(itemAt(indices, index)),
    label: (index) => dataset.label(itemAt(indices, index)),
  };
}

function chosen(dataset: Dataset, { count, seed }: { count: number; seed?: number }): number[] {
  if (!(Number.isSafeInteger(count) && count > 0 && count <= dataset.count)) {
    throw new AppError('usage', `${dataset.name}: ${count} images asked for, expected 1 to ${dataset.count}`);
  }
  if (seed === undefined) return Array.from({ length: count }, (_, index) => index);
  return randomIndices(dataset.count, count, seed);
}

/** Seed of the choice where the order of images may be that of their classes. */
const SPREAD_SEED = 1;

/**
 * A part of a list whose order may be that of the classes: so many at most, the random choice of a fixed
 * seed, in the order of the list.
 */
export function spread<T>(items: readonly T[], count: number): readonly T[] {
  if (items.length <= count) return items;
  return randomIndices(items.length, count, SPREAD_SEED).map((index) => itemAt(items, index));
}

function randomIndices(total: number, count: number, seed: number): number[] {
  const all = Array.from({ length: total }, (_, index) => index);
  // Those with the smallest hashes: a choice that depends on no generator and no order of drawing.
  const hashes = all.map((index) => hash('sha256', `${seed}:${index}`, 'hex'));
  const byHash = all.toSorted((a, b) => (itemAt(hashes, a) < itemAt(hashes, b) ? -1 : 1));
  return byHash.slice(0, count).sort((a, b) => a - b);
}
