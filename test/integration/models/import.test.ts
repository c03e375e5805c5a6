import { readFile } from 'node:fs/promises';
import { describe, expect, it, test } from 'vitest';
import { type ReadOptions, readClassifier } from '../../../models/import/classifier.ts';
import { countMacs } from '../../../models/import/macs.ts';
import { type WrapOptions, wrapClassifier } from '../../../models/import/wrap.ts';
import { GraphBuilder } from '../../../models/ofa/onnx/graph.ts';
import { modelPath } from '../../../shared/family/read.ts';
import { createSessionFromBytes } from '../../../shared/onnx.ts';
import { bundledFamily } from '../../support/bundled.ts';
import { encodeModel, type FloatSpec, floatClassifier } from '../../support/onnx-models.ts';
import { greatestDifference, runModel } from '../../support/run-model.ts';

const RGB = { mean: [0.5, 0.4, 0.3], std: [0.2, 0.3, 0.25] } as const;
const PIXELS = Uint8Array.from({ length: 8 * 8 * 3 }, (_, index) => (index * 37) % 256);

/** What the bare model says to pixels [8, 8, 3] that were normalised here. */
async function bareScores(spec: FloatSpec): Promise<Float32Array> {
  const isPlanes = (spec.layout ?? 'NCHW') === 'NCHW';
  const input = new Float32Array(PIXELS.length);
  for (const [index, pixel] of PIXELS.entries()) {
    const channel = index % 3;
    const place = isPlanes ? channel * 64 + Math.floor(index / 3) : index;
    input[place] = (pixel / 255 - (RGB.mean[channel] ?? 0)) / (RGB.std[channel] ?? 1);
  }
  return await runModel(encodeModel(floatClassifier(spec)), input, isPlanes ? [1, 3, 8, 8] : [1, 8, 8, 3]);
}

function wrapped(spec: FloatSpec, options: Partial<WrapOptions> = {}, read: ReadOptions = {}): Uint8Array {
  const classifier = readClassifier(encodeModel(floatClassifier(spec)), 'net.onnx', read);
  return wrapClassifier(classifier, { frame: [8, 8], ...RGB, ...options });
}

describe('a wrapped classifier in ONNX Runtime', () => {
  it.each<[string, FloatSpec, ReadOptions]>([
    ['planes', {}, {}],
    ['rows', { layout: 'NHWC', shape: ['N', 8, 8, 3] }, {}],
    ['an open batch and open sizes', { shape: ['N', 3, 'H', 'W'] }, { size: [8, 8] }],
    ['declared constants', { declareConstants: true }, {}],
    ['an old opset', { opset: 13 }, {}],
    ['a branch', { branch: true }, {}],
    ['our names for its input and output', { inputName: 'image', outputName: 'logits' }, {}],
    ['our names the other way round', { inputName: 'logits', outputName: 'image' }, {}],
    [
      'our names in its midst and in a branch',
      { branch: true, inputName: 'x', innerNames: ['image.float', 'logits'] },
      {},
    ],
    ['names that are taken too', { branch: true, innerNames: ['image', 'model.image'] }, {}],
  ])('answers as the bare one does: %s', async (_, spec, options) => {
    const bare = await bareScores(spec);
    const scores = await runModel(wrapped(spec, {}, options), PIXELS, [1, 8, 8, 3]);
    expect(greatestDifference(scores, bare)).toBeLessThan(1e-5);
    expect(Math.max(...bare.map(Math.abs))).toBeGreaterThan(0.01);
  });

  it('takes and gives what a family says', async () => {
    const session = await createSessionFromBytes(wrapped({ shape: ['N', 3, 8, 8] }, { frame: [20, 30] }), {});
    expect(session.inputMetadata).toMatchObject([{ name: 'image', type: 'uint8', shape: [1, 20, 30, 3] }]);
    expect(session.outputMetadata).toMatchObject([{ name: 'logits', type: 'float32', shape: [1, 5] }]);
    await session.release();
  });

  it('sees frames of another size as pictures of its own', async () => {
    const grey = (side: number) => new Uint8Array(side * side * 3).fill(77);
    const small = await runModel(wrapped({}), grey(8), [1, 8, 8, 3]);
    const large = await runModel(wrapped({}, { frame: [20, 20] }), grey(20), [1, 20, 20, 3]);
    expect(greatestDifference(large, small)).toBeLessThan(1e-5);
  });

  it('gives logits whose softmax is what the bare one gives', async () => {
    const bare = await bareScores({ softmax: true });
    const logits = await runModel(wrapped({ softmax: true }), PIXELS, [1, 8, 8, 3]);
    expect(greatestDifference(logits.map(Math.exp), bare)).toBeLessThan(1e-5);
    const kept = await runModel(
      wrapped({ softmax: true }, { outputIsProbability: false }),
      PIXELS,
      [1, 8, 8, 3],
    );
    expect(greatestDifference(kept, bare)).toBeLessThan(1e-5);
  });
});

describe('counting operations', () => {
  test('the bundled levels have as many as Once-for-all counts', async () => {
    const { manifest, folder } = await bundledFamily();
    for (const level of manifest.levels) {
      const path = modelPath(folder, level);
      expect(await countMacs(await readFile(path), path)).toBe(level.macs);
    }
  });

  it('counts a convolution and a product by hand, wrapped or not', async () => {
    const macs = 4 * 8 * 8 * 3 * 9 + 4 * 5;
    expect(await countMacs(encodeModel(floatClassifier()), 'net.onnx')).toBe(macs);
    expect(await countMacs(encodeModel(floatClassifier({ shape: ['N', 3, 8, 8] })), 'net.onnx')).toBe(macs);
    expect(await countMacs(wrapped({ opset: 13 }, { frame: [20, 20] }), 'net.onnx')).toBe(macs);
  });

  it('takes the shared dimension of a transposed factor, and the input of a transposed convolution', async () => {
    const model = floatClassifier();
    const nodes = model.graph?.node ?? [];
    const gemm = nodes.at(-1);
    // [4, 1] transposed is [1, 4].
    nodes.splice(-1, 0, { opType: 'Transpose', input: ['flat'], output: ['column'] });
    Object.assign(gemm ?? {}, {
      input: ['column', 'weights'],
      attribute: [{ name: 'transA', type: 2, i: 1 }],
    });
    const [convolution] = nodes;
    // The kernel [4, 3, 3, 3] of a transposed convolution takes 4 channels.
    nodes.splice(1, 0, {
      opType: 'ConvTranspose',
      input: [convolution?.output?.[0] ?? '', 'kernel'],
      output: ['larger'],
      attribute: [{ name: 'strides', type: 7, ints: [2, 2] }],
    });
    Object.assign(nodes[2] ?? {}, { input: ['larger'] });
    Object.assign(model.graph?.initializer?.[1] ?? {}, { dims: [3, 5], rawData: new Uint8Array(60) });
    const macs = 4 * 8 * 8 * 3 * 9 + 4 * 8 * 8 * 3 * 9 + 3 * 5;
    expect(await countMacs(encodeModel(model), 'net.onnx')).toBe(macs);
  });

  it('counts operators on integers', async () => {
    const builder = new GraphBuilder('quantised');
    const x = builder.input('x', 'uint8', [1, 2, 4, 4]);
    const scale = builder.constant('scale', [], Float32Array.of(0.1));
    const zero = builder.constant('zero', [], Uint8Array.of(0));
    const kernel = builder.constant('kernel', [3, 2, 3, 3], new Uint8Array(54));
    const scales = [scale, zero];
    // [1, 3, 2, 2]: 12 values of 18 products each.
    const maps = builder.node('QLinearConv', [x, ...scales, kernel, ...scales, ...scales], 'maps');
    const factor = builder.constant('factor', [2, 5], new Uint8Array(10));
    // [1, 3, 2, 5]: 30 values of 2 products each.
    builder.output(builder.node('MatMulInteger', [maps, factor], 'product'), 'int32', [1, 3, 2, 5]);
    expect(await countMacs(builder.encode(), 'net.onnx')).toBe(12 * 18 + 30 * 2);
  });

  it('refuses what it cannot count, and what does not run', async () => {
    const hidden = floatClassifier({ branch: true });
    const body = hidden.graph?.node?.[1]?.attribute?.[0]?.g;
    body?.node?.push({ opType: 'MatMul', input: ['two', 'two'], output: ['unused'] });
    await expect(countMacs(encodeModel(hidden), 'net.onnx')).rejects.toThrow(/branch.*has a MatMul/);
    const recurrent = floatClassifier();
    recurrent.graph?.node?.push({ opType: 'LSTM', output: ['state'] });
    await expect(countMacs(encodeModel(recurrent), 'net.onnx')).rejects.toThrow(/its LSTM cannot be counted/);
    const broken = floatClassifier({ shape: [1, 5, 8, 8] });
    broken.graph?.initializer?.splice(0, 1);
    await expect(countMacs(encodeModel(broken), 'net.onnx')).rejects.toThrow(/net.onnx: does not run/);
    const open = floatClassifier({ shape: ['N', 3, 'H', 'W'] });
    await expect(countMacs(encodeModel(open), 'net.onnx')).rejects.toThrow(/"input" is open/);
  });
});
