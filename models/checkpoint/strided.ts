import { AppError } from '../../shared/errors.ts';
import { type CheckpointTensor, ELEMENT_BYTES } from '../ofa/checkpoint.ts';
import type { PickledTensor } from './pickle-values.ts';

/** Bytes that may still be copied: many views of one large storage must not fill the memory. */
export interface CopyBudget {
  left: number;
}

/**
 * A tensor's own bytes, row by row: a view of the storage where it lies there in this order, else a copy.
 * @param storage the storage's bytes, of the size that the tensor's storage says
 * @param budget is lessened by what is copied
 * @param what names the tensor in messages
 * @throws AppError `invalid` if it reaches beyond its storage, has more elements than
 *   that, or goes beyond the budget
 */
export function contiguousTensor(
  tensor: PickledTensor,
  storage: Uint8Array,
  budget: CopyBudget,
  what: string,
): CheckpointTensor {
  const { shape, offset } = tensor;
  const { dtype, count } = tensor.storage;
  const unit = ELEMENT_BYTES[dtype];
  const elements = checkedSize(tensor, what);
  if (elements === 0) return { dtype, shape, bytes: new Uint8Array(0) };
  const last = tensor.strides.reduce((sum, stride, axis) => sum + stride * ((shape[axis] ?? 1) - 1), offset);
  if (last >= count) {
    throw new AppError('invalid', `${what}: it reaches to element ${last} of a storage of ${count}`);
  }
  if (isContiguous(tensor)) {
    return { dtype, shape, bytes: storage.subarray(offset * unit, (offset + elements) * unit) };
  }
  budget.left -= elements * unit;
  if (budget.left < 0) {
    throw new AppError('invalid', `${what}: the tensors that are not contiguous are larger than the file`);
  }
  return { dtype, shape, bytes: copyRows(tensor, storage, elements) };
}

/** More elements than the storage has are one element many times over; this bounds the product too. */
function checkedSize({ shape, storage }: PickledTensor, what: string): number {
  if (shape.includes(0)) return 0;
  let elements = 1;
  for (const dimension of shape) {
    elements *= dimension;
    if (elements > storage.count) {
      throw new AppError(
        'invalid',
        `${what}: shape [${shape.join(', ')}] has more elements than its storage, which has ${storage.count}`,
      );
    }
  }
  return elements;
}

function isContiguous({ shape, strides }: PickledTensor): boolean {
  let expected = 1;
  for (let axis = shape.length - 1; axis >= 0; axis -= 1) {
    const dimension = shape[axis] ?? 1;
    // The stride of a dimension of 1 is never used; torch writes any there.
    if (dimension !== 1 && strides[axis] !== expected) return false;
    expected *= dimension;
  }
  return true;
}

function copyRows({ shape, strides, offset, storage }: PickledTensor, from: Uint8Array, elements: number) {
  const unit = ELEMENT_BYTES[storage.dtype];
  const copy = new Uint8Array(elements * unit);
  const place = shape.map(() => 0);
  let source = offset;
  for (let target = 0; target < copy.length; target += unit) {
    for (let byte = 0; byte < unit; byte += 1) copy[target + byte] = from[source * unit + byte] ?? 0;
    source = next({ shape, strides, place, source });
  }
  return copy;
}

/** Moves `place` on by one element, the last axis first, and gives where that lies. */
function next(at: {
  shape: readonly number[];
  strides: readonly number[];
  place: number[];
  source: number;
}): number {
  const { shape, strides, place } = at;
  let { source } = at;
  for (let axis = shape.length - 1; axis >= 0; axis -= 1) {
    const index = (place[axis] ?? 0) + 1;
    const stride = strides[axis] ?? 0;
    if (index < (shape[axis] ?? 1)) {
      place[axis] = index;
      return source + stride;
    }
    place[axis] = 0;
    source -= (index - 1) * stride;
  }
  return source;
}
