import { AppError } from '../../shared/errors.ts';
import { type FloatTensor, sizeOf } from './tensors.ts';

/**
 * The first entries of a tensor along its first one or two axes. Without copying where that is the whole of
 * the second axis.
 * @param counts how many entries are kept: [rows], or [rows, columns]
 */
export function firstOf(
  { shape, data }: FloatTensor,
  [rows, columns]: readonly [number, number?],
): FloatTensor {
  const [, width = 1, ...inner] = shape;
  const kept = columns ?? width;
  const cell = sizeOf(inner);
  const keptShape = shape.length === 1 ? [rows] : [rows, kept, ...inner];
  if (kept === width) return { shape: keptShape, data: data.subarray(0, rows * width * cell) };
  const sliced = new Float32Array(rows * kept * cell);
  for (let row = 0; row < rows; row += 1) {
    const start = row * width * cell;
    sliced.set(data.subarray(start, start + kept * cell), row * kept * cell);
  }
  return { shape: keptShape, data: sliced };
}

/**
 * The smaller kernel that is stored in a larger one: the larger one's centre, times a matrix that all
 * channels of a block share (OFA, section 3.3; mode 1 of its code): out[i] = sum over j of M[i][j] centre[j].
 * @param weight [channels, 1, larger, larger]
 * @param matrix [size^2, size^2]
 */
export function smallerKernel(weight: FloatTensor, matrix: FloatTensor, size: number): FloatTensor {
  const [channels = 0, , larger = 0] = weight.shape;
  const margin = (larger - size) / 2;
  const cells = size * size;
  const data = new Float32Array(channels * cells);
  const centre = new Float64Array(cells);
  for (let channel = 0; channel < channels; channel += 1) {
    for (let cell = 0; cell < cells; cell += 1) {
      const row = margin + Math.floor(cell / size);
      const column = margin + (cell % size);
      centre[cell] = weight.data[(channel * larger + row) * larger + column] ?? 0;
    }
    for (let cell = 0; cell < cells; cell += 1) {
      let sum = 0;
      for (let other = 0; other < cells; other += 1) {
        sum += (matrix.data[cell * cells + other] ?? 0) * (centre[other] ?? 0);
      }
      data[channel * cells + cell] = sum;
    }
  }
  return { shape: [channels, 1, size, size], data };
}

/** A tensor by its name. @throws AppError `invalid` when the backbone has none of that name */
export function tensorOf(tensors: ReadonlyMap<string, FloatTensor>, name: string): FloatTensor {
  const tensor = tensors.get(name);
  if (tensor === undefined) throw new AppError('invalid', `the backbone has no tensor ${name}`);
  return tensor;
}
