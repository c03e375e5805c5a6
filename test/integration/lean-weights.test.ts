import { writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import onnxProto from 'onnx-proto';
import { expect, test } from 'vitest';
import { WeightPool } from '../../models/ofa/onnx/externalise.ts';
import { createSession, leanOptions, Tensor } from '../../shared/onnx.ts';
import { encodeModel, floatClassifier } from '../support/onnx-models.ts';
import { greatestDifference } from '../support/run-model.ts';
import { temporaryFolder } from '../support/temp.ts';

const { onnx } = onnxProto;
const KIBIBYTE = 1_024;

/** A model with nothing but constants, which need not be used. */
function modelWith(tensors: Readonly<Record<string, Uint8Array>>): Uint8Array {
  const initializer = Object.entries(tensors).map(([name, rawData]) => ({
    name,
    dims: [rawData.length],
    dataType: onnx.TensorProto.DataType.UINT8,
    rawData,
  }));
  return onnx.ModelProto.encode({ irVersion: 8, graph: { name: 'constants', initializer } }).finish();
}

/** Each constant as whoever has the weights file reads it. */
function readBack(model: Uint8Array, pool: WeightPool): Record<string, Uint8Array> {
  const file = new Uint8Array(Math.max(0, ...pool.pieces.map(({ offset, data }) => offset + data.length)));
  for (const { offset, data } of pool.pieces) file.set(data, offset);
  const tensors = onnx.ModelProto.decode(model).graph?.initializer ?? [];
  return Object.fromEntries(
    tensors.map(({ name, rawData, externalData }) => {
      const said = Object.fromEntries((externalData ?? []).map(({ key, value }) => [key, value]));
      const offset = Number(said['offset']);
      const outside = file.subarray(offset, offset + Number(said['length']));
      return [name, Uint8Array.from(said['location'] === 'weights.bin' ? outside : (rawData ?? []))];
    }),
  );
}

function bytes(length: number, seed: number): Uint8Array {
  return Uint8Array.from({ length }, (_, index) => Math.imul(index + seed, 2_654_435_761) >>> 24);
}

test('what is equal, or the beginning of something larger, is stored once', () => {
  const pool = new WeightPool('weights.bin');
  const large = { a: bytes(64 * KIBIBYTE, 1), b: bytes(32 * KIBIBYTE, 2), bias: bytes(64, 3) };
  const small = { a: large.a.slice(0, 20 * KIBIBYTE), b: large.b, c: bytes(32 * KIBIBYTE, 4) };
  const models = [large, small].map((tensors) => pool.add(modelWith(tensors)));
  expect(models.map((model) => readBack(model, pool))).toEqual([large, small]);
  expect(pool.pieces.map(({ data }) => data.length / KIBIBYTE)).toEqual([64, 32, 32]);
  expect(models[1]?.length).toBeLessThan(KIBIBYTE);
});

test('what begins alike and then differs is kept apart', () => {
  const pool = new WeightPool('weights.bin');
  const [one, other] = [bytes(20 * KIBIBYTE, 1), bytes(20 * KIBIBYTE, 1)];
  other[other.length - 1] = 7;
  const model = pool.add(modelWith({ one, other }));
  expect(readBack(model, pool)).toEqual({ one, other });
  expect(pool.pieces).toHaveLength(2);
});

test('every piece begins on a page, and none overlaps another', () => {
  const pool = new WeightPool('weights.bin');
  pool.add(modelWith({ a: bytes(16 * KIBIBYTE + 1, 1), b: bytes(16 * KIBIBYTE, 2) }));
  pool.add(modelWith({ c: bytes(50_000, 3) }));
  let endOfLast = 0;
  for (const { offset, data } of pool.pieces) {
    expect(offset % 4_096).toBe(0);
    expect(offset).toBeGreaterThanOrEqual(endOfLast);
    endOfLast = offset + data.length;
  }
});

test('something else than a model is refused', () => {
  const pool = new WeightPool('weights.bin');
  expect(() => pool.add(new TextEncoder().encode('this is no model'))).toThrow('expected an ONNX model');
});

test('ONNX Runtime finds the weights in their file', async () => {
  await using folder = await temporaryFolder();
  const model = encodeModel(floatClassifier({ shape: [1, 3, 8, 8], outputShape: [1, 2_000] }));
  const pool = new WeightPool('weights.bin');
  const paths = [join(folder.path, 'whole.onnx'), join(folder.path, 'outside.onnx')];
  await writeFile(paths[0] ?? '', model);
  await writeFile(paths[1] ?? '', pool.add(model));
  const [weights, ...others] = pool.pieces;
  expect(others).toEqual([]);
  await writeFile(join(folder.path, 'weights.bin'), weights?.data ?? '');
  const outputs: Float32Array[] = [];
  for (const path of paths) {
    const session = await createSession(path, leanOptions(1, { inPlace: true }));
    const input = new Tensor('float32', new Float32Array(3 * 64).fill(0.5), [1, 3, 8, 8]);
    const { output } = await session.run({ input });
    outputs.push(Float32Array.from(output?.data instanceof Float32Array ? output.data : []));
    await session.release();
  }
  const [whole = [], outside = []] = outputs;
  expect(whole).toHaveLength(2_000);
  expect(greatestDifference(outside, whole)).toBe(0);
});
