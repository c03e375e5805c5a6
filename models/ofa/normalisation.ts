const MAX_MEAN = 1e6;
const MIN_STD = 1e-6;
const MAX_STD = 1e6;

/**
 * What is wrong with the mean and the standard deviation that pixels, as 0..1, are normalised by; undefined
 * where nothing is. Within the bounds what a model holds of them, 255 * mean and 1 / (255 * std), is finite
 * as a 32-bit float, and the latter is not 0.
 */
export function normalisationProblem(mean: readonly number[], std: readonly number[]): string | undefined {
  // Turned round, so that what is not a number does not pass.
  const wrongMean = mean.find((value) => !(Math.abs(value) <= MAX_MEAN));
  if (wrongMean !== undefined) return `mean: ${wrongMean} is not within -${MAX_MEAN}..${MAX_MEAN}`;
  const wrongStd = std.find((value) => !(value >= MIN_STD && value <= MAX_STD));
  if (wrongStd !== undefined) return `std: ${wrongStd} is not within ${MIN_STD}..${MAX_STD}`;
  return undefined;
}
