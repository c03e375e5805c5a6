import fc from 'fast-check';
import { describe, expect, it, test } from 'vitest';
import { modelInput } from '../../../models/cli/model-input.ts';
import type { FrameForm, NormalisedForm } from '../../../models/evaluate/input-form.ts';
import { preprocessor } from '../../../models/evaluate/preprocess.ts';
import { Tally } from '../../../models/evaluate/tally.ts';

describe('the answers of a model', () => {
  it('are counted in whole, by class, and with their neighbours', () => {
    const tally = new Tally(6, 4);
    tally.add(Float32Array.of(9, 0, 0, 0, 0, 0), 0);
    tally.add(Float32Array.of(9, 8, 7, 6, 5, 4), 4);
    tally.add(Float32Array.of(9, 8, 7, 6, 5, 4), 5);
    tally.add(Float32Array.of(0, 0, 0, 9, 0, 0), 0);
    const { predictions, perClass, ...evaluation } = tally.result(['zero', 'one']);
    expect(evaluation).toMatchObject({ count: 4, correct: 1, accuracy: 0.25, top5: 0.75, nonFinite: 0 });
    expect(predictions).toEqual(Uint8Array.of(0, 0, 0, 3));
    expect(perClass[0]).toEqual({ label: 'zero', count: 2, accuracy: 0.5 });
    expect(perClass[1]).toEqual({ label: 'one', count: 0, accuracy: null });
    expect(perClass[4]).toEqual({ label: '4', count: 1, accuracy: 0 });
  });

  it('that are not finite are wrong, and told', () => {
    const tally = new Tally(2, 2);
    tally.add(Float32Array.of(Number.NaN, 1), 1);
    tally.add(Float32Array.of(0, 0), 0);
    expect(tally.result()).toMatchObject({ correct: 1, nonFinite: 1, meanConfidence: 0.5 });
    expect(tally.result().predictions).toEqual(Uint8Array.of(2, 0));
    expect(tally.result().top5).toBeUndefined();
  });

  it('fit their array, with room for "not finite"', () => {
    const kinds = [255, 256, 65_535, 65_536].map((classes) => new Tally(classes, 0).result().predictions);
    expect(kinds.map((kind) => kind.BYTES_PER_ELEMENT)).toEqual([1, 2, 2, 4]);
  });
});

describe('preparing a frame', () => {
  const plain = { mean: [0], std: [1 / 255] };

  function prepared(frame: Uint8Array, shape: readonly [number, number, number], r: number, how = plain) {
    const into = new Float32Array(shape[2] * r * r);
    preprocessor(shape, r, how)(frame, into);
    return into;
  }

  it('keeps the pixels of a square of the same size, channels first, normalised', () => {
    const frame = Uint8Array.of(0, 255, 51, 102, 153, 204, 10, 20);
    expect([...prepared(frame, [2, 2, 2], 2, { mean: [0, 0], std: [1 / 255, 1 / 255] })]).toEqual(
      [0, 51, 153, 10, 255, 102, 204, 20].map((value) => expect.closeTo(value, 3)),
    );
    const [first] = prepared(Uint8Array.of(51), [1, 1, 1], 1, { mean: [0.5], std: [0.25] });
    expect(first).toBeCloseTo((0.2 - 0.5) / 0.25, 6);
  });

  it('takes its source between half-pixel centres, clamped to the edge, without rounding', () => {
    // s = (i + 0.5) * 2 / 4 - 0.5 = -0.25, 0.25, 0.75, 1.25.
    const [row = []] = [[...prepared(Uint8Array.of(0, 1, 0, 1), [2, 2, 1], 4).subarray(0, 4)]];
    expect(row).toEqual([0, 0.25, 0.75, 1].map((value) => expect.closeTo(value, 6)));
  });

  test('a slope stays a slope of the same steepness, whatever the sizes', () => {
    const sizes = fc.integer({ min: 2, max: 30 });
    fc.assert(
      fc.property(
        sizes,
        sizes,
        sizes,
        fc.integer({ min: 0, max: 4 }),
        fc.integer({ min: 0, max: 4 }),
        (height, width, r, a, b) => {
          const frame = Uint8Array.from(
            { length: height * width },
            (_, at) => a * (at % width) + b * Math.floor(at / width),
          );
          const result = prepared(frame, [height, width, 1], r);
          const place = (index: number, size: number) =>
            Math.min(Math.max(((index + 0.5) * size) / r - 0.5, 0), size - 1);
          for (const [at, value] of result.entries()) {
            expect(value).toBeCloseTo(a * place(at % r, width) + b * place(Math.floor(at / r), height), 3);
          }
        },
      ),
    );
  });

  it('is refused for another number of channels', () => {
    expect(() => preprocessor([2, 2, 3], 2, plain)).toThrow(
      /mean has 1 and std 1 values, images have 3 channels/,
    );
  });
});

describe('what a model file cannot say of its input', () => {
  type Flags = Readonly<Record<'frame' | 'mean' | 'std', string>>;
  type Input = FrameForm | NormalisedForm;
  const frames = (...shape: FrameForm['shape']): FrameForm => ({ kind: 'frames', name: 'image', shape });
  const floats = (channels: number | undefined, resolution: number | undefined): NormalisedForm => ({
    kind: 'normalised',
    name: 'x',
    batch: undefined,
    channels,
    resolution,
  });

  async function inputOf(input: Input, flags: Partial<Flags>, notes: string[] = []) {
    const cli = { note: (line: string) => void notes.push(line) };
    const options = { model: 'm.onnx', backbone: 'fashion-mnist', ...flags };
    return await modelInput(cli, { input, outputName: 'y', classes: 10 }, options);
  }

  it('is the size of frames, where the model leaves it open', async () => {
    const open = frames(undefined, undefined, 3);
    expect(await inputOf(frames(32, 48, 3), {})).toEqual({ data: { shape: [32, 48, 3] } });
    expect(await inputOf(open, { frame: '32x48' })).toEqual({ data: { shape: [32, 48, 3] } });
    expect(await inputOf(open, {})).toEqual({ data: {} });
  });

  it('is mean and std of floats: those that are typed, else those of the backbone', async () => {
    const notes: string[] = [];
    const typed = { mean: '0.5', std: '0.1,0.2,3e-1' };
    expect(await inputOf(floats(3, 20), typed, notes)).toEqual({
      data: { fileShape: [20, 20, 3] },
      preprocess: { mean: [0.5, 0.5, 0.5], std: [0.1, 0.2, 0.3] },
    });
    expect(notes).toEqual([]);
    expect(await inputOf(floats(1, 20), {}, notes)).toEqual({
      data: { fileShape: [28, 28, 1] },
      preprocess: { mean: [0.286], std: [0.353] },
    });
    expect(notes).toEqual([expect.stringMatching(/mean 0\.286 and std 0\.353 are those of --backbone/)]);
  });

  it('is the resolution of floats, where the model leaves it open', async () => {
    const typed = { mean: '0', std: '1' };
    expect(await inputOf(floats(1, undefined), { ...typed, frame: '32x32' })).toEqual({
      data: { fileShape: [32, 32, 1] },
      preprocess: { mean: [0], std: [1], resolution: 32 },
    });
    expect(await inputOf(floats(1, 20), { ...typed, frame: '32x48' })).toEqual({
      data: { shape: [32, 48, 1] },
      preprocess: { mean: [0], std: [1] },
    });
  });

  const refused: [string, Input, Partial<Flags>, RegExp][] = [
    ['another size of frames', frames(28, 28, 1), { frame: '30x28' }, /takes 28x28, not 30x28/],
    ['a mean for frames', frames(28, 28, 1), { mean: '0', std: '1' }, /normalises them itself/],
    ['half of it', floats(1, 28), { std: '0.3' }, /--mean and --std together/],
    ['a mean of bytes', floats(1, 28), { mean: '73', std: '90' }, /--mean: '73', expected 0 to 1/],
    ['a std of nothing', floats(1, 28), { mean: '0.5', std: '0' }, /--std: '0', expected numbers above 0/],
    ['no number', floats(1, 28), { mean: '0.5,', std: '1' }, /--mean: '0\.5,', expected a number/],
    ['too few', floats(3, 28), { mean: '0.5,0.5', std: '1' }, /--mean: 2 values for 3 channels/],
    ["channels that are not the backbone's", floats(3, 28), {}, /takes 3 channels .* give --mean and --std/],
    [
      'no resolution',
      floats(1, undefined),
      { mean: '0', std: '1' },
      /resolution open; give a square --frame/,
    ],
  ];

  it.each(refused)('is refused for %s', async (_case, input, flags, message) => {
    const refusal = inputOf(input, flags);
    await expect(refusal).rejects.toThrow(message);
    await expect(refusal).rejects.toMatchObject({ code: 'usage' });
  });
});
