/**
 * The input of the reference data, by its formula: flat row-major index over the whole NCHW tensor.
 */
export function formulaInput(shape: readonly number[], phase: number): Float32Array {
  const size = shape.reduce((product, dimension) => product * dimension, 1);
  return Float32Array.from(
    { length: size },
    (_, index) => Math.sin(0.01 * index + phase) + 0.5 * Math.sin(0.7 * index + 2 * phase),
  );
}
