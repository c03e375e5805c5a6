/** A lower triangular matrix L, row-major, with L Lᵀ = A: what a symmetric positive definite A is solved by. */
export interface Cholesky {
  readonly size: number;
  readonly lower: Float64Array;
}

/** Factorises a symmetric positive definite matrix, row-major; only its lower half is read. */
export function choleskyOf(matrix: Float64Array, size: number): Cholesky {
  const lower = new Float64Array(size * size);
  for (let row = 0; row < size; row += 1) {
    for (let column = 0; column <= row; column += 1) {
      let sum = matrix[row * size + column] ?? 0;
      for (let k = 0; k < column; k += 1) {
        sum -= (lower[row * size + k] ?? 0) * (lower[column * size + k] ?? 0);
      }
      lower[row * size + column] =
        row === column ? Math.sqrt(sum) : sum / (lower[column * size + column] ?? 0);
    }
  }
  return { size, lower };
}

/** Solves L y = b. */
export function solveLower({ size, lower }: Cholesky, b: Float64Array): Float64Array {
  const y = new Float64Array(size);
  for (let row = 0; row < size; row += 1) {
    let sum = b[row] ?? 0;
    for (let k = 0; k < row; k += 1) sum -= (lower[row * size + k] ?? 0) * (y[k] ?? 0);
    y[row] = sum / (lower[row * size + row] ?? 0);
  }
  return y;
}

/** Solves Lᵀ x = y. */
export function solveUpper({ size, lower }: Cholesky, y: Float64Array): Float64Array {
  const x = Float64Array.from(y);
  for (let row = size - 1; row >= 0; row -= 1) {
    let sum = x[row] ?? 0;
    for (let k = row + 1; k < size; k += 1) sum -= (lower[k * size + row] ?? 0) * (x[k] ?? 0);
    x[row] = sum / (lower[row * size + row] ?? 0);
  }
  return x;
}
