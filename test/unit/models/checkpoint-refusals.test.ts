import { describe, expect, test } from 'vitest';
import { unpickle } from '../../../models/checkpoint/pickle.ts';
import { parseCheckpoint } from '../../../models/checkpoint/read.ts';
import { type Picklable, partOf, pickleOf } from '../../support/pickle.ts';
import { type TorchTensor, tensorCall, torchLegacy, torchZip, zipOf } from '../../support/torch-files.ts';

const DATA = new Uint8Array(48);
const STORAGES = { '0': DATA };
const WHOLE: TorchTensor = { storage: '0', count: 12, shape: [3, 4], strides: [4, 1] };
const ORDERED_DICT: Picklable = { global: ['collections', 'OrderedDict'] };

function dictOf(tensor: TorchTensor): Picklable {
  return { dict: [['w', tensorCall(tensor)]] };
}

function invalid(message: RegExp): unknown {
  return expect.objectContaining({
    name: 'AppError',
    code: 'invalid',
    message: expect.stringMatching(message),
  });
}

/** Instructions by their letters. */
function raw(...parts: readonly (string | Picklable)[]): Picklable {
  const bytes = parts.map((part) => (typeof part === 'string' ? Buffer.from(part, 'latin1') : partOf(part)));
  return { raw: Buffer.concat(bytes) };
}

describe('pickles with code', () => {
  const text = (value: string): Picklable => raw(`X${String.fromCharCode(value.length)}\0\0\0`, value);
  test.each<[string, Picklable, RegExp]>([
    ['GLOBAL', raw('cos\nsystem\n', text('id'), '\x85R'), /names "os\.system": .*no code is run/],
    ['STACK_GLOBAL', raw(text('os'), text('system'), '\x93', text('id'), '\x85R'), /names "os\.system"/],
    ['a global of builtins', raw('c__builtin__\neval\n'), /names "__builtin__\.eval"/],
    ['another name of torch', raw('ctorch\nload\n'), /names "torch\.load"/],
    ['a name with dots', raw('ctorch\nFloatStorage.__init__\n'), /names "torch\.FloatStorage\.__init__"/],
    ['INST', raw('(S"id"\nios\nsystem\n'), /instruction 0x53/],
    ['INST alone', raw('(ios\nsystem\n'), /instruction 0x69, which makes objects/],
    ['OBJ', raw('(', ORDERED_DICT, 'o'), /instruction 0x6f, which makes objects/],
    ['NEWOBJ', raw(ORDERED_DICT, ')\x81'), /instruction 0x81, which makes objects/],
    ['NEWOBJ_EX', raw(ORDERED_DICT, ')}\x92'), /instruction 0x92, which makes objects/],
    ['EXT1', raw('\x82\x01'), /instruction 0x82, which makes objects/],
    ['EXT2', raw('\x83\x01\x01'), /instruction 0x83, which makes objects/],
    ['EXT4', raw('\x84\x01\x01\x01\x01'), /instruction 0x84, which makes objects/],
    ['attributes of a plain dictionary', raw('}}b'), /attributes of something that is not an OrderedDict/],
    [
      'a call of a class of storages',
      raw('ctorch\nFloatStorage\n)R'),
      /FloatStorage, which is not a function/,
    ],
    ['a call of a string', raw(text('os'), ')R'), /calls something that is not a function/],
    ['a call without a tuple', raw(ORDERED_DICT, ']R'), /without a tuple/],
    ['an OrderedDict with arguments', raw(ORDERED_DICT, ')\x85R'), /OrderedDict with arguments/],
  ])('%s is refused', (_name, object, message) => {
    expect(() => parseCheckpoint(torchZip(object, STORAGES), 'file')).toThrow(invalid(message));
  });
});

test('what is beside the weights is refused with what its owner can do', () => {
  const settings: Picklable = { call: { global: ['argparse', 'Namespace'] }, args: [] };
  const object: Picklable = {
    dict: [
      ['args', settings],
      ['state_dict', dictOf(WHOLE)],
    ],
  };
  expect(() => parseCheckpoint(torchZip(object, STORAGES), 'file')).toThrow(
    invalid(
      /"argparse\.Namespace": .*save only the weights: torch\.save\(checkpoint\['state_dict'\], FILE\)/,
    ),
  );
});

describe('pickles that are no programs', () => {
  test.each<[string, string, RegExp]>([
    ['a pickle that takes what is not there', '\x80\x02R.', /takes a value that it has not made/],
    ['one that takes below a mark', '\x80\x02N(\x85.', /takes a value that it has not made/],
    ['one that ends no sequence', '\x80\x02t.', /ends a sequence that it has not begun/],
    ['one that asks for nothing', '\x80\x02h\x05.', /asks for its value 5/],
    ['one that leaves two values', '\x80\x02NN.', /more than one value/],
    ['one without an end', '\x80\x02N', /cut short: expected 1 more bytes/],
    ['protocol 6', '\x80\x06N.', /pickle protocol 6/],
    ['a byte array of 2^40 bytes', '\x80\x05\x96\0\0\0\0\0\x01\0\0.', /cut short/],
    ['a key without a value', '\x80\x02}(Nu.', /key without a value/],
    ['a list as a key', '\x80\x02}]Ns.', /neither a string nor a number/],
    ['an append to a tuple', '\x80\x02)Na.', /not a list/],
    ['a string of 4 GiB', '\x80\x02X\xff\xff\xff\xff.', /a string of 4294967295 bytes/],
    ['a string of 2^63 bytes', '\x80\x04\x8d\0\0\0\0\0\0\0\x80.', /beyond any file/],
    ['bytes of 4 GiB', '\x80\x03B\xff\xff\xff\xff.', /cut short/],
    ['a string that is not UTF-8', '\x80\x02U\x01\xff.', /not UTF-8/],
    ['a frame beyond the end', '\x80\x04\x95\xff\0\0\0\0\0\0\0N.', /a frame of 255 bytes/],
    ['an endless name', `\x80\x02c${'a'.repeat(2_000)}`, /endless name/],
  ])('%s is refused', (_name, letters, message) => {
    expect(() => unpickle(Buffer.from(letters, 'latin1'), 'file')).toThrow(invalid(message));
  });

  test('a pickle of millions of objects ends at a million instructions', () => {
    const bytes = Buffer.concat([Buffer.from([0x80, 2]), Buffer.alloc(3_000_000, ']')]);
    expect(() => unpickle(bytes, 'file')).toThrow(invalid(/more than 1000000 instructions/));
  });

  test('a list that holds itself is read', () => {
    expect(() => unpickle(Buffer.from('\x80\x02]q\x00h\x00a.', 'latin1'), 'file')).not.toThrow();
  });
});

describe('tensors that do not fit their storage', () => {
  test.each<[string, TorchTensor, RegExp]>([
    ['too long', { ...WHOLE, shape: [4, 4] }, /tensor "w": shape \[4, 4\] has more elements/],
    ['too late', { ...WHOLE, offset: 1 }, /reaches to element 12 of a storage of 12/],
    ['too wide a stride', { ...WHOLE, strides: [5, 1] }, /reaches to element 13/],
    ['stride 0, which repeats one element', { ...WHOLE, shape: [10 ** 9], strides: [0] }, /more elements/],
    ['more elements than numbers count', { ...WHOLE, shape: [2 ** 31 - 1, 2 ** 31 - 1] }, /more elements/],
    ['a negative offset', { ...WHOLE, offset: -1 }, /offset is -1/],
    ['a negative size', { ...WHOLE, shape: [-3, -4] }, /shape has -3/],
    ['a negative stride', { ...WHOLE, strides: [-4, 1] }, /strides has -4/],
    ['a size beyond 2^53', { ...WHOLE, shape: [2n ** 60n, 1] }, /shape has 1152921504606846976/],
    ['half a size', { ...WHOLE, shape: [1.5, 1] }, /shape has 1\.5/],
    ['more strides than dimensions', { ...WHOLE, strides: [4, 1, 1] }, /2 dimensions and 3 strides/],
    [
      'another type than the bytes have',
      { ...WHOLE, type: 'DoubleStorage' },
      /expected 96 bytes, found 48 bytes/,
    ],
    ['a storage that is not there', { ...WHOLE, storage: '../0' }, /storage "\.\.\/0": .*no such entry/],
    ['a type that has no bytes', { ...WHOLE, type: 'QInt8Storage' }, /names "torch\.QInt8Storage"/],
  ])('%s is refused', (_name, tensor, message) => {
    expect(() => parseCheckpoint(torchZip(dictOf(tensor), STORAGES), 'file')).toThrow(invalid(message));
  });

  test('many copies out of one storage are refused before they fill the memory', () => {
    const transposed = tensorCall({ ...WHOLE, shape: [4, 3], strides: [1, 4] });
    // Written out, 200 tensors make a file that is larger than their copies; by the memo they take no room.
    const object: Picklable = { dict: Array.from({ length: 200 }, (_, index) => [`w${index}`, transposed]) };
    const memo: Picklable = {
      raw: Buffer.concat([
        Buffer.from('}'),
        partOf('w'),
        partOf(transposed),
        Buffer.from('q\0s'),
        ...Array.from({ length: 200 }, (_, index) =>
          Buffer.concat([Buffer.from(`U\u0003${100 + index}`), Buffer.from('h\0s')]),
        ),
      ]),
    };
    expect(() => parseCheckpoint(torchZip(object, STORAGES), 'file')).not.toThrow();
    expect(() => parseCheckpoint(torchZip(memo, STORAGES), 'file')).toThrow(invalid(/larger than the file/));
  });

  test('one storage with two types is refused', () => {
    const object: Picklable = {
      dict: [
        ['a', tensorCall(WHOLE)],
        ['b', tensorCall({ ...WHOLE, type: 'IntStorage' })],
      ],
    };
    expect(() => parseCheckpoint(torchZip(object, STORAGES), 'file')).toThrow(
      invalid(/"0" is named with two types/),
    );
  });
});

describe('archives', () => {
  const pickle = pickleOf(dictOf(WHOLE));
  const good: readonly [string, Uint8Array] = ['net/data.pkl', pickle];
  test.each<[string, Uint8Array, RegExp]>([
    ['without a pickle', zipOf([['net/data/0', DATA]]), /one data\.pkl/],
    ['with two pickles', zipOf([good, ['two/data.pkl', pickle]]), /one data\.pkl/],
    ['with one name twice', zipOf([good, good]), /has "net\/data\.pkl" twice/],
    ['that is compressed', zipOf([good, ['net/data/0', DATA, { method: 8 }]]), /compressed or encrypted/],
    ['that is encrypted', zipOf([good, ['net/data/0', DATA, { flags: 1 }]]), /compressed or encrypted/],
    ['that is damaged', zipOf([good, ['net/data/0', DATA, { crc: 1 }]]), /"net\/data\/0" is damaged/],
    [
      'with files in one place',
      zipOf([good, ['net/data/0', DATA], ['net/data/0', DATA, { start: 0 }]]),
      /is not where/,
    ],
    ['with overlapping files', zipOf([['net/a', DATA, { size: 60 }], good]), /overlaps another entry/],
    [
      'with a file beyond its end',
      zipOf([good, ['net/data/0', DATA, { size: 10 ** 6 }]]),
      /outside of the archive/,
    ],
    [
      'with two names for one file',
      zipOf([good, ['net/data/0', DATA, { localName: 'net/data/1' }]]),
      /is not where/,
    ],
    ['of zip64', zipOf([good, ['net/data/0', DATA, { size: 0xffff_ffff }]]), /over 4 GiB/],
    ['in big-endian order', zipOf([good, ['net/byteorder', Buffer.from('big')]]), /little-endian/],
  ])('an archive %s is refused', (_name, file, message) => {
    expect(() => parseCheckpoint(file, 'file')).toThrow(invalid(message));
  });
});

describe("torch's old form", () => {
  const counts = { '0': 12 };
  test.each<[string, Uint8Array, RegExp]>([
    [
      'another number of elements',
      torchLegacy(dictOf(WHOLE), STORAGES, { '0': 11 }),
      /has 11 elements, expected 12/,
    ],
    ['a negative number of elements', torchLegacy(dictOf(WHOLE), STORAGES, { '0': -1 }), /beyond any file/],
    ['too few bytes', torchLegacy(dictOf(WHOLE), STORAGES, counts).subarray(0, -1), /cut short/],
    [
      'too many bytes',
      Buffer.concat([torchLegacy(dictOf(WHOLE), STORAGES, counts), DATA]),
      /48 bytes too many/,
    ],
    ['no storage', torchLegacy(dictOf(WHOLE), {}, {}), /there is no storage "0"/],
    [
      'a storage of nobody',
      torchLegacy(dictOf(WHOLE), { ...STORAGES, '1': DATA }, counts),
      /that no tensor has/,
    ],
  ])('%s is refused', (_name, file, message) => {
    expect(() => parseCheckpoint(file, 'file')).toThrow(invalid(message));
  });
});
