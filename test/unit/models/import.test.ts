import { readFileSync } from 'node:fs';
import { join } from 'node:path';
import fc from 'fast-check';
import onnxProto from 'onnx-proto';
import { describe, expect, it, test } from 'vitest';
import { type ReadOptions, readClassifier } from '../../../models/import/classifier.ts';
import { decodeModel } from '../../../models/import/decode.ts';
import { wrapClassifier } from '../../../models/import/wrap.ts';
import { AppError } from '../../../shared/errors.ts';
import { manifestParser } from '../../../shared/family/manifest.ts';
import { modelPath } from '../../../shared/family/read.ts';
import { packageRoot } from '../../../shared/package.ts';
import { encodeModel, type FloatSpec, floatClassifier } from '../../support/onnx-models.ts';

const { onnx } = onnxProto;
type Model = ReturnType<typeof floatClassifier>;
const RGB = { frame: [8, 8], mean: [0.5, 0.5, 0.5], std: [0.2, 0.2, 0.2] } as const;

const FAMILY = join(packageRoot(), 'models', 'families', 'fashion-mnist');
const LEVEL = levelFile();

/** The model of the bundled family's first level. */
function levelFile(): string {
  const manifest = manifestParser()(JSON.parse(readFileSync(join(FAMILY, 'family.json'), 'utf8')), 'family');
  const [first] = manifest.levels;
  if (first === undefined) throw new Error('a family has a level');
  return modelPath(FAMILY, first);
}

function read(spec: FloatSpec = {}, options: ReadOptions = {}) {
  return readClassifier(encodeModel(floatClassifier(spec)), 'net.onnx', options);
}

/** A classifier with one thing changed. */
function readChanged(change: (graph: NonNullable<Model['graph']>, model: Model) => void) {
  const model = floatClassifier();
  change(model.graph ?? {}, model);
  return readClassifier(encodeModel(model), 'net.onnx');
}

describe('reading a classifier', () => {
  it('tells its input, output and layout from the file', () => {
    const { input, output, givesProbability, warnings } = read({ shape: ['N', 3, 20, 30] });
    expect(input).toEqual({
      ...{ name: 'input', form: 'floats', layout: 'NCHW' },
      ...{ height: 20, width: 30, channels: 3 },
    });
    expect({ output, givesProbability, warnings }).toEqual({
      ...{ output: { name: 'output', classes: 5 }, givesProbability: false, warnings: [] },
    });
    expect(read({ layout: 'NHWC', shape: [1, 20, 30, 1] }).input).toMatchObject({
      ...{ layout: 'NHWC', height: 20, width: 30, channels: 1 },
    });
    expect(read({ softmax: true }).givesProbability).toBe(true);
  });

  it('takes open sizes and a doubtful layout from the options', () => {
    expect(() => read({ shape: ['N', 3, 'H', 'W'] })).toThrow(/height of its input is open/);
    expect(read({ shape: ['N', 3, 'H', 'W'] }, { size: [20, 30] }).input).toMatchObject({
      ...{ height: 20, width: 30 },
    });
    expect(() => read({ shape: [1, 3, 8, 8] }, { size: [8, 9] })).toThrow(
      /width .* 8 in the file, 9 was given/,
    );
    expect(() => read({ shape: [1, 3, 8, 3] })).toThrow(/\[1, 3, 8, 3\].*NCHW or NHWC/);
    expect(read({ shape: [1, 3, 8, 3] }, { layout: 'NCHW' }).input).toMatchObject({ height: 8, width: 3 });
    expect(() => read({ shape: [1, 7, 8, 9] }, { layout: 'NCHW' })).toThrow(/as NCHW it has 7 channels/);
  });

  it('does not count constants that are declared as inputs', () => {
    expect(read({ declareConstants: true }).input.name).toBe('input');
  });

  it('knows a level of a family', () => {
    expect(readClassifier(readFileSync(LEVEL), LEVEL).input).toEqual({
      ...{ name: 'image', form: 'frames', layout: 'NHWC', height: 28, width: 28, channels: 1 },
    });
  });

  it('warns of operators that may be unknown, but not of functions in the file', () => {
    const change = (model: Model): void => {
      for (const node of model.graph?.node ?? []) if (node.opType === 'Relu') node.domain = 'org.example';
    };
    expect(readChanged((_, model) => change(model)).warnings).toEqual([
      'net.onnx: has operators of the domain "org.example", which ONNX Runtime may not know',
    ]);
    const withFunction = readChanged((_, model) => {
      change(model);
      model.functions = [{ name: 'Relu', domain: 'org.example' }];
    });
    expect(withFunction.warnings).toEqual([]);
  });

  it.each<[string, (graph: NonNullable<Model['graph']>, model: Model) => void, RegExp]>([
    ['two inputs', (g) => g.input?.push({ name: 'more' }), /has 2 inputs, expected one/],
    ['no input', (g) => g.input?.pop(), /has 0 inputs, expected one/],
    ['two outputs', (g) => g.output?.push({ name: 'flat' }), /has 2 outputs, expected one/],
    ['an output that nothing gives', (g) => g.node?.pop(), /no node gives its output "output"/],
    ['no nodes', (g) => g.node?.splice(0), /without nodes/],
    ['no opset', (_, m) => m.opsetImport?.pop(), /opset is not named, at least 13/],
    [
      'an old opset',
      (_, m) => (m.opsetImport = [{ version: 11 }]),
      /opset is 11.*convert_version\(model, 17\)/,
    ],
    ['an old format', (_, m) => (m.irVersion = 3), /IR version is 3, at least 4/],
    [
      'functions of one name',
      (_, m) => (m.functions = [{ name: 'f' }, { name: 'f' }]),
      /two functions of the name "f"/,
    ],
  ])('refuses %s', (_, change, message) => {
    expect(() => readChanged(change)).toThrow(message);
    expect(() => readChanged(change)).toThrow(AppError);
  });

  it('refuses inputs and outputs of another shape', () => {
    expect(() => read({ shape: [2, 3, 8, 8] })).toThrow(/"input" is float32 \[2, 3, 8, 8\].*batch of 1/);
    expect(() => read({ shape: [2, 3, 8, 8], outputShape: [2, 5] })).toThrow(/export it with a batch of 1/);
    expect(() => read({ shape: [1, 3, 8] })).toThrow(/float32 \[1, 3, 8\], expected uint8/);
    expect(() => read({ outputShape: ['N', 'C'] })).toThrow(
      /float32 \[N, C\], expected float32 \[1, classes\]/,
    );
    expect(() => read({ outputShape: [1, 1] })).toThrow(/expected float32 \[1, classes\]/);
  });

  it('refuses weights in another file, in a branch too', () => {
    const external = (name: string) => ({
      ...{ name, dataLocation: onnx.TensorProto.DataLocation.EXTERNAL },
      externalData: [{ key: 'location', value: '/etc/passwd' }],
    });
    expect(() => readChanged((g) => g.initializer?.push(external('w')))).toThrow(/"w" lies in another file/);
    const inBranch = floatClassifier({ branch: true });
    const body = inBranch.graph?.node?.find(({ opType }) => opType === 'If')?.attribute?.[0]?.g;
    body?.initializer?.push(external('inner'));
    expect(() => decodeModel(encodeModel(inBranch), 'net.onnx')).toThrow(/"inner" lies in another file/);
  });
});

describe('bytes that are no model', () => {
  const whole = encodeModel(floatClassifier({ branch: true, softmax: true }));
  const readOrRefuse = (bytes: Uint8Array): void => {
    try {
      readClassifier(bytes, 'net.onnx');
    } catch (error) {
      expect(error).toBeInstanceOf(AppError);
    }
  };

  it('are refused wherever a file was cut off', () => {
    for (let length = 0; length < whole.length; length += 1) {
      expect(() => readClassifier(whole.subarray(0, length), 'net.onnx')).toThrow(AppError);
    }
  });

  it('are refused or read, whatever was changed, with no other error', () => {
    const change = fc.tuple(fc.nat(whole.length - 1), fc.nat(255));
    fc.assert(
      fc.property(fc.array(change, { minLength: 1, maxLength: 4 }), (changes) => {
        const bytes = whole.slice();
        for (const [place, value] of changes) bytes[place] = value;
        readOrRefuse(bytes);
      }),
      { numRuns: 1_000 },
    );
    fc.assert(fc.property(fc.uint8Array({ maxLength: 200 }), readOrRefuse), { numRuns: 1_000 });
  });

  it('are refused before they take gigabytes', () => {
    const dims = new Uint8Array(30_000_000);
    // graph { initializer { dims: packed } }
    const list = concat([0x0a, ...varint(dims.length)], dims);
    const tensor = concat([0x2a, ...varint(list.length)], list);
    const bomb = concat([0x3a, ...varint(tensor.length)], tensor);
    expect(() => decodeModel(bomb, 'net.onnx')).toThrow(/more than \d+ bytes of memory/);
  });

  it('are refused where graphs lie in graphs without end', () => {
    let bytes: Uint8Array = new Uint8Array();
    // node { attribute { g } }, a thousand times
    for (let depth = 0; depth < 1_000; depth += 1) {
      for (const tag of [0x32, 0x2a, 0x0a]) bytes = concat([tag, ...varint(bytes.length)], bytes);
    }
    bytes = concat([0x3a, ...varint(bytes.length)], bytes);
    expect(() => decodeModel(bytes, 'net.onnx')).toThrow(/nested deeper than 64/);
  });

  it.each<[string, readonly number[]]>([
    ['two graphs', [0x3a, 0, 0x3a, 0]],
    // graph { input { type two times } }
    ['two types of a value', [0x3a, 6, 0x5a, 4, 0x12, 0, 0x12, 0]],
    // graph { input { type { tensorType, sequence } } }
    ['a type that is two things', [0x3a, 8, 0x5a, 6, 0x12, 4, 0x0a, 0, 0x22, 0]],
    // graph { input { type { tensorType { shape two times } } } }
    ['two shapes', [0x3a, 10, 0x5a, 8, 0x12, 6, 0x0a, 4, 0x12, 0, 0x12, 0]],
    // graph { node { attribute { t two times } } }
    ['two tensors of an attribute', [0x3a, 8, 0x0a, 6, 0x2a, 4, 0x2a, 0, 0x2a, 0]],
  ])('are refused with %s, which programs read in different ways', (_, bytes) => {
    expect(() => decodeModel(Uint8Array.from(bytes), 'net.onnx')).toThrow(/two messages where one may be/);
  });

  function varint(value: number): number[] {
    return value < 128 ? [value] : [(value % 128) + 128, ...varint(Math.floor(value / 128))];
  }

  function concat(head: readonly number[], tail: Uint8Array): Uint8Array {
    const all = new Uint8Array(head.length + tail.length);
    all.set(head);
    all.set(tail, head.length);
    return all;
  }
});

describe('wrapping a classifier', () => {
  test('the same classifier and options give the same bytes', () => {
    expect(wrapClassifier(read(), RGB)).toEqual(wrapClassifier(read(), RGB));
  });

  it('gives a level of a family back as it is', () => {
    const bytes = new Uint8Array(readFileSync(LEVEL));
    const level = readClassifier(bytes, LEVEL);
    expect(wrapClassifier(level, { frame: [28, 28], mean: [0], std: [1] })).toBe(bytes);
    expect(() => wrapClassifier(level, { frame: [32, 28], mean: [0], std: [1] })).toThrow(
      /takes frames of 28 x 28 bytes, not 32 x 28/,
    );
  });

  it('keeps opset and IR version, and reads its own work as a level', () => {
    const wrapped = wrapClassifier(read({ opset: 13 }), { ...RGB, frame: [12, 16] });
    const { input, output, model } = readClassifier(wrapped, 'wrapped');
    expect(input).toMatchObject({ name: 'image', form: 'frames', height: 12, width: 16, channels: 3 });
    expect(output).toEqual({ name: 'logits', classes: 5 });
    expect([model.opset, model.irVersion]).toEqual([13, 8]);
    expect(wrapClassifier(readClassifier(wrapped, 'wrapped'), { ...RGB, frame: [12, 16] })).toBe(wrapped);
  });

  it('refuses normalisation and frames that do not fit', () => {
    expect(() => wrapClassifier(read(), { ...RGB, mean: [0.5] })).toThrow(/3 channels, 1 means and 3/);
    expect(() => wrapClassifier(read(), { ...RGB, std: [0.2, 0, 0.2] })).toThrow(/^std: 0 is not within/);
    expect(() => wrapClassifier(read(), { ...RGB, std: [0.2, 1e-39, 0.2] })).toThrow(/^std: 1e-39 is not/);
    expect(() => wrapClassifier(read(), { ...RGB, mean: [0, 1e37, 0] })).toThrow(/^mean: 1e\+37 is not/);
    expect(() => wrapClassifier(read(), { ...RGB, mean: [0, Number.NaN, 0] })).toThrow(/^mean: NaN is not/);
    expect(() => wrapClassifier(read(), { ...RGB, frame: [0, 8] })).toThrow(/frames of 0 x 8/);
  });
});
