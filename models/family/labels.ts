import { AppError } from '../../shared/errors.ts';
import type { Dataset } from '../datasets/dataset.ts';

/**
 * The names of a family's classes: those that were given, else the data set's, else their numbers.
 * @param classes how many the models tell apart
 * @throws AppError `invalid` when there are more or fewer
 */
export function labelsOf(
  given: readonly string[] | undefined,
  dataset: Pick<Dataset, 'labels'>,
  classes: number,
): string[] {
  const labels = given ?? dataset.labels ?? Array.from({ length: classes }, (_, index) => String(index));
  if (labels.length === classes) return [...labels];
  throw new AppError('invalid', `${labels.length} labels for ${classes} classes`);
}
