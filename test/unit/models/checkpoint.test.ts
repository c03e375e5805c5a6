import { mkdir, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { describe, expect, test } from 'vitest';
import { parseCheckpoint, readCheckpoint } from '../../../models/checkpoint/read.ts';
import { toFloat32 } from '../../../models/ofa/checkpoint.ts';
import { type Picklable, partOf } from '../../support/pickle.ts';
import { referencePath, testWithReference } from '../../support/reference.ts';
import { temporaryFolder } from '../../support/temp.ts';
import { type TorchTensor, tensorCall, torchLegacy, torchZip } from '../../support/torch-files.ts';

const NUMBERS = Float32Array.from({ length: 12 }, (_, index) => index);
const STORAGES = { '0': new Uint8Array(NUMBERS.buffer) };
const WHOLE: TorchTensor = { storage: '0', count: 12, shape: [3, 4], strides: [4, 1] };

/** What both of torch's forms of an object give, which must be the same. */
function numbersOf(object: Picklable, name = 'w'): { shape: readonly number[]; numbers: number[] } {
  const [zip, legacy] = [torchZip(object, STORAGES), torchLegacy(object, STORAGES, { '0': 12 })].map(
    (file) => {
      const tensor = parseCheckpoint(file, 'file').tensors.get(name);
      if (tensor === undefined) return expect.fail(`there is no ${name}`);
      return { shape: tensor.shape, numbers: [...toFloat32(tensor, name)] };
    },
  );
  if (zip === undefined) return expect.fail('no file was read');
  expect(legacy).toEqual(zip);
  return zip;
}

function dictOf(tensor: TorchTensor): Picklable {
  return { dict: [['w', tensorCall(tensor)]] };
}

describe('tensors in their storages', () => {
  test('a contiguous tensor is what lies there', () => {
    expect(numbersOf(dictOf(WHOLE))).toEqual({ shape: [3, 4], numbers: [...NUMBERS] });
  });

  test('a tensor may begin later and end sooner', () => {
    const rows = numbersOf(dictOf({ ...WHOLE, offset: 4, shape: [1, 4], strides: [99, 1] }));
    expect(rows).toEqual({ shape: [1, 4], numbers: [4, 5, 6, 7] });
  });

  test('a transposed tensor is put in order', () => {
    const transposed = numbersOf(dictOf({ ...WHOLE, shape: [4, 3], strides: [1, 4] }));
    expect(transposed.numbers).toEqual([0, 4, 8, 1, 5, 9, 2, 6, 10, 3, 7, 11]);
  });

  test('every second column of the last two rows', () => {
    const some = numbersOf(dictOf({ ...WHOLE, offset: 4, shape: [2, 2], strides: [4, 2] }));
    expect(some.numbers).toEqual([4, 6, 8, 10]);
  });

  test('a single number has no dimensions, and a dimension may be 0', () => {
    expect(numbersOf(dictOf({ ...WHOLE, offset: 5, shape: [], strides: [] }))).toEqual({
      shape: [],
      numbers: [5],
    });
    const none = numbersOf(dictOf({ ...WHOLE, shape: [0, 4], strides: [4, 1] }));
    expect(none).toEqual({ shape: [0, 4], numbers: [] });
  });

  test('a parameter is its tensor', () => {
    const call: Picklable = {
      call: { global: ['torch._utils', '_rebuild_parameter'] },
      args: [tensorCall(WHOLE), true],
    };
    expect(numbersOf({ dict: [['w', call]] }).numbers).toEqual([...NUMBERS]);
  });
});

describe('where the weights are in a checkpoint', () => {
  const keys = ['state_dict', 'model_state_dict', 'model', 'state_dict_ema', 'model_ema', 'net'];
  test.each(keys)('under %s, beside plain data', (key) => {
    const object: Picklable = {
      dict: [
        ['epoch', 3],
        ['best_acc', 77.5],
        ['seed', 2n ** 70n],
        [
          'optimizer',
          {
            dict: [
              [0, tensorCall(WHOLE)],
              ['groups', [{ tuple: [null, false, 'sgd'] }]],
            ],
          },
        ],
        [key, dictOf(WHOLE)],
      ],
    };
    expect(numbersOf(object).numbers).toEqual([...NUMBERS]);
  });

  test('two sets of weights are refused, for nothing says which one is meant', () => {
    const entries = ['state_dict', 'state_dict_ema'].map((key) => [key, dictOf(WHOLE)] as const);
    expect(() => parseCheckpoint(torchZip({ dict: entries }, STORAGES), 'file')).toThrow(
      /file: has weights under state_dict and state_dict_ema; save those that are meant/,
    );
    const [first] = entries;
    if (first === undefined) return expect.fail('no entry');
    expect(numbersOf({ dict: [first, ['model_ema', null]] }).numbers).toEqual([...NUMBERS]);
  });

  test('what Python writes in protocol 5 is read', () => {
    // pickle.dump({'w': tensor, 'bytes': bytearray(b'ab')}, protocol=5), without its first two and last bytes
    const hex = [
      '95ab000000000000007d94288c0177948c0c746f7263682e5f7574696c73948c125f72656275696c645f74656e736f72',
      '5f763294939428288c0773746f72616765948c05746f726368948c0c466c6f617453746f726167659493948c0130948c',
      '03637075944b0c7494514b004b034b0486944b044b018694898c0b636f6c6c656374696f6e73948c0b4f726465726564',
      '44696374949394295294749452948c0562797465739496020000000000000061629475',
    ].join('');
    expect(numbersOf({ raw: [0x80, 5, ...Buffer.from(hex, 'hex')] }).numbers).toEqual([...NUMBERS]);
  });

  test('an OrderedDict with attributes, as torch has for versions', () => {
    const made: Picklable = { call: { global: ['collections', 'OrderedDict'] }, args: [] };
    const raw = Buffer.concat([
      partOf(made),
      partOf('w'),
      partOf(tensorCall(WHOLE)),
      Buffer.from('s'),
      partOf({ dict: [['_metadata', made]] }),
      Buffer.from('b'),
    ]);
    expect(numbersOf({ raw }).numbers).toEqual([...NUMBERS]);
  });

  test('values that come again are found in the memo', () => {
    const raw = Buffer.concat([
      Buffer.from('}'),
      ...[partOf('w'), partOf(tensorCall(WHOLE)), Buffer.from('q\u0007s')],
      ...[partOf('v'), Buffer.from('h\u0007s')],
    ]);
    expect(numbersOf({ raw }, 'v')).toEqual(numbersOf({ raw }, 'w'));
  });

  test.each<[string, Picklable]>([
    ['a list of tensors', [tensorCall(WHOLE)]],
    ['a tensor by itself', tensorCall(WHOLE)],
    ['a dictionary without tensors', { dict: [['epoch', 1]] }],
    ['nothing', null],
  ])('%s is refused', (_name, object) => {
    expect(() => parseCheckpoint(torchZip(object, STORAGES), 'file')).toThrow(
      /expected a dictionary of tensors/,
    );
  });
});

describe('files', () => {
  test('a file is told with its form, size and hash', async () => {
    await using folder = await temporaryFolder();
    const path = join(folder.path, 'net.pth');
    await writeFile(path, torchLegacy(dictOf(WHOLE), STORAGES, { '0': 12 }));
    const { format, bytes, sha256 } = await readCheckpoint(path);
    expect({ format, bytes }).toEqual({ format: 'torch-legacy', bytes: expect.any(Number) });
    expect(sha256).toMatch(/^[0-9a-f]{64}$/);
    await expect(readCheckpoint(path, { maxBytes: 10 })).rejects.toThrow(/at most 10 are read/);
  });

  test('what is absent, a folder, or of another form is refused', async () => {
    await using folder = await temporaryFolder();
    const path = join(folder.path, 'x');
    await expect(readCheckpoint(path)).rejects.toMatchObject({ code: 'not-found' });
    await mkdir(path);
    await expect(readCheckpoint(path)).rejects.toMatchObject({ code: 'invalid' });
    await writeFile(join(folder.path, 'y'), '\x08\x07ONNX or other');
    await expect(readCheckpoint(join(folder.path, 'y'))).rejects.toThrow(
      /expected a safetensors file or one/,
    );
  });

  testWithReference(
    'ofa/supernet_w0.35.pth',
    'all three forms of the same weights give the same tensors',
    async () => {
      const [zip, legacy, safe] = await Promise.all(
        ['pth', 'legacy.pth', 'safetensors'].map((form) =>
          readCheckpoint(referencePath('ofa', `supernet_w0.35.${form}`)),
        ),
      );
      expect([zip?.format, legacy?.format, safe?.format]).toEqual([
        'torch-zip',
        'torch-legacy',
        'safetensors',
      ]);
      expect(safe?.tensors.size).toBe(475);
      const renamed = [...(legacy?.tensors ?? [])].map(([name, tensor]) => [
        name.replace('.mobile_inverted_conv.', '.conv.'),
        tensor,
      ]);
      const written = (tensors: Iterable<unknown>): string =>
        JSON.stringify([...tensors], (_key, value) =>
          value instanceof Uint8Array ? Buffer.from(value).toString('base64') : value,
        );
      expect(written(zip?.tensors ?? [])).toBe(written(safe?.tensors ?? []));
      expect(written(renamed)).toBe(written(safe?.tensors ?? []));
    },
  );
});
