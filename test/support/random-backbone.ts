import { type Backbone, makeBackbone } from '../../models/ofa/backbone.ts';
import { type ExpectedTensor, expectedTensors } from '../../models/ofa/layout.ts';
import type { SearchSpace } from '../../models/ofa/space.ts';
import { type FloatTensor, sizeOf } from '../../models/ofa/tensors.ts';

/** Uniform numbers of 0..1 (mulberry32: quick, and the same everywhere). */
function uniform(seed: number): () => number {
  let state = seed | 0;
  return () => {
    state = (state + 0x6d2b79f5) | 0;
    let mixed = Math.imul(state ^ (state >>> 15), 1 | state);
    mixed = (mixed + Math.imul(mixed ^ (mixed >>> 7), 61 | mixed)) ^ mixed;
    return ((mixed ^ (mixed >>> 14)) >>> 0) / 2 ** 32;
  };
}

/**
 * A super-network of plausible random weights, the same for the same space and seed: every layer keeps its
 * input's scale, so that logits are neither all equal nor huge.
 */
export function randomBackbone(space: SearchSpace, seed: number): Backbone {
  const random = uniform(seed);
  const tensors = expectedTensors(space).map((expected): [string, FloatTensor] => [
    expected.name,
    randomTensor(expected, random),
  ]);
  return makeBackbone(space, new Map(tensors));
}

function randomTensor(expected: ExpectedTensor, random: () => number): FloatTensor {
  const { shape, role } = expected;
  const data = new Float32Array(sizeOf(shape));
  const [middle, spread] = distributionOf(expected);
  const isMatrix = role === 'kernel-matrix';
  const side = shape[0] ?? 1;
  for (let index = 0; index < data.length; index += 1) {
    const identity = isMatrix && index % (side + 1) === 0 ? 1 : 0;
    data[index] = identity + middle + spread * (2 * random() - 1);
  }
  return { shape, data };
}

/** The middle of a uniform distribution and how far it goes to both sides. */
function distributionOf({ name, role, shape }: ExpectedTensor): [number, number] {
  switch (role) {
    case 'weight': {
      // The variance is 2 / inputs where an activation halves it again (He et al.), else 1 / inputs.
      const isLinear = name.includes('point_linear') || name.startsWith('classifier');
      return [0, Math.sqrt((isLinear ? 3 : 6) / sizeOf(shape.slice(1)))];
    }
    case 'scale':
      return [1, 0.1];
    case 'running-variance':
      return [1, 0.5];
    case 'kernel-matrix':
      return [0, 0.05];
    default:
      return [0, 0.1];
  }
}
