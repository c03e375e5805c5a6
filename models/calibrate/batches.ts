import { invariant } from '../../shared/errors.ts';
import type { Dataset } from '../datasets/dataset.ts';
import type { Batch } from './calibrate.ts';

/**
 * The images of a data set in its order, so many at a time; the last batch may be smaller.
 * @param batchSize images in a batch, at least 1
 */
export async function* batchesOf(dataset: Dataset, batchSize: number): AsyncGenerator<Batch> {
  const bytes = dataset.shape.reduce((product, dimension) => product * dimension, 1);
  for (let start = 0; start < dataset.count; start += batchSize) {
    const count = Math.min(batchSize, dataset.count - start);
    const data = new Uint8Array(count * bytes);
    for (let index = 0; index < count; index += 1) {
      const image = await dataset.image(start + index);
      invariant(image.length === bytes, `${dataset.name} gives images of its shape`);
      data.set(image, index * bytes);
    }
    yield { count, data };
  }
}
