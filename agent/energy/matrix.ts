import { type Cholesky, choleskyOf, solveLower, solveUpper } from '../../shared/cholesky.ts';

/** Square and symmetric, row by row. */
export type Matrix = readonly (readonly number[])[];

/**
 * Inverse of a symmetric positive definite matrix, by way of its Cholesky factor.
 * @returns undefined of a matrix that is not positive definite, or no longer so by rounding
 */
export function inverseOf(matrix: Matrix): number[][] | undefined {
  const factor = choleskyOf(Float64Array.from(matrix.flat()), matrix.length);
  if (!isPositiveDefinite(factor)) return undefined;
  // Its columns are its rows.
  return matrix.map((row, index) => {
    const unit = new Float64Array(row.length);
    unit[index] = 1;
    return [...solveUpper(factor, solveLower(factor, unit))];
  });
}

/** Whether what was factorised was so: if not, a root of the diagonal is 0 or none. */
function isPositiveDefinite({ size, lower }: Cholesky): boolean {
  for (let index = 0; index < size; index += 1) {
    const root = lower[index * size + index] ?? Number.NaN;
    if (!(root > 0 && Number.isFinite(root))) return false;
  }
  return true;
}

/** The product of a matrix and a vector. */
export function times(matrix: Matrix, vector: readonly number[]): number[] {
  return matrix.map((row) => dot(row, vector));
}

/** Sum of the products of two vectors of one length. */
export function dot(a: readonly number[], b: readonly number[]): number {
  return a.reduce((sum, value, index) => sum + value * (b[index] ?? 0), 0);
}
