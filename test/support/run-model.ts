import { createSessionFromBytes, Tensor } from '../../shared/onnx.ts';

/** Runs a model once and gives its first output. */
export async function runModel(
  model: Uint8Array,
  input: Float32Array | Uint8Array,
  shape: readonly number[],
): Promise<Float32Array> {
  const session = await createSessionFromBytes(model, {
    executionProviders: ['cpu'],
    intraOpNumThreads: 1,
    graphOptimizationLevel: 'all',
  });
  try {
    const tensor =
      input instanceof Float32Array ? new Tensor('float32', input, shape) : new Tensor('uint8', input, shape);
    const outputs = await session.run({ [session.inputNames[0] ?? '']: tensor });
    const { data } = outputs[session.outputNames[0] ?? ''] ?? {};
    if (!(data instanceof Float32Array)) throw new Error('the model gives no floats');
    return data;
  } finally {
    await session.release();
  }
}

/** The greatest absolute difference of two lists of numbers of one length. */
export function greatestDifference(actual: ArrayLike<number>, expected: ArrayLike<number>): number {
  if (actual.length !== expected.length) throw new Error(`${actual.length} numbers, not ${expected.length}`);
  let greatest = 0;
  for (let index = 0; index < expected.length; index += 1) {
    greatest = Math.max(greatest, Math.abs((actual[index] ?? Number.NaN) - (expected[index] ?? Number.NaN)));
  }
  return greatest;
}
