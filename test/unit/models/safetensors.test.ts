import fc from 'fast-check';
import { describe, expect, test } from 'vitest';
import { type CheckpointTensor, ELEMENT_BYTES, toFloat32 } from '../../../models/ofa/checkpoint.ts';
import { repeatedKey } from '../../../models/ofa/json-keys.ts';
import { parseSafetensors, writeSafetensors } from '../../../models/ofa/safetensors.ts';

const ELEMENT_TYPES = Object.keys(ELEMENT_BYTES) as (keyof typeof ELEMENT_BYTES)[];

/** A file with this header and so many bytes behind it. */
function fileOf(header: string, dataBytes: number, statedLength = Buffer.byteLength(header)): Uint8Array {
  const length = Buffer.alloc(8);
  length.writeBigUInt64LE(BigInt(statedLength));
  return Buffer.concat([length, Buffer.from(header), Buffer.alloc(dataBytes)]);
}

function floats(...values: number[]): CheckpointTensor {
  return { dtype: 'F32', shape: [values.length], bytes: new Uint8Array(Float32Array.from(values).buffer) };
}

/** The value of a float16: a sign, five bits of exponent, ten of fraction. */
function halfOf(bits: number): number {
  const sign = bits >= 0x8000 ? -1 : 1;
  const exponent = (bits >> 10) & 31;
  const fraction = bits & 1_023;
  if (exponent === 31) return fraction === 0 ? sign * Infinity : Number.NaN;
  if (exponent === 0) return sign * fraction * 2 ** -24;
  return sign * (1 + fraction / 1_024) * 2 ** (exponent - 15);
}

const anyTensor: fc.Arbitrary<CheckpointTensor> = fc
  .record({ dtype: fc.constantFrom(...ELEMENT_TYPES), shape: fc.array(fc.nat({ max: 4 }), { maxLength: 3 }) })
  .chain(({ dtype, shape }) => {
    const length = shape.reduce((product, size) => product * size, 1) * ELEMENT_BYTES[dtype];
    return fc.record({
      dtype: fc.constant(dtype),
      shape: fc.constant(shape),
      bytes: fc.uint8Array({ minLength: length, maxLength: length }),
    });
  });
const anyName = fc.oneof(fc.string(), fc.constantFrom('0', '1', '__proto__', 'constructor', 'é"\\'));
const anyTensors = fc.uniqueArray(fc.tuple(anyName, anyTensor), { selector: ([name]) => name, maxLength: 6 });
const anyMetadata = fc.dictionary(anyName, fc.string(), { maxKeys: 4 });

describe('writing and reading', () => {
  test('what is written is read back, in its order', () => {
    fc.assert(
      fc.property(anyTensors, anyMetadata, (tensors, metadata) => {
        const read = parseSafetensors(writeSafetensors(tensors, metadata), 'file');
        expect(new Map(read.tensors)).toEqual(new Map(tensors));
        expect([...read.tensors.keys()].filter((name) => read.tensors.get(name)?.bytes.length)).toEqual(
          tensors.filter(([, { bytes }]) => bytes.length > 0).map(([name]) => name),
        );
        expect(Object.entries(read.metadata).sort()).toEqual(Object.entries(metadata).sort());
      }),
    );
  });

  test('the header is padded to 8 bytes and metadata sorted, so that equal content is equal bytes', () => {
    const tensors = [
      ['b', floats(1)],
      ['a', floats(2, 3)],
    ] as const;
    const file = writeSafetensors(tensors, { z: '1', a: '2' });
    expect(file).toEqual(writeSafetensors(tensors, { a: '2', z: '1' }));
    const length = Buffer.from(file).readUInt32LE(0);
    expect(length % 8).toBe(0);
    expect(
      Buffer.from(file)
        .toString('latin1', 8, 8 + length)
        .trimEnd(),
    ).toBe(
      '{"__metadata__":{"a":"2","z":"1"},"b":{"dtype":"F32","shape":[1],"data_offsets":[0,4]},' +
        '"a":{"dtype":"F32","shape":[2],"data_offsets":[4,12]}}',
    );
  });

  test('the same name twice, or that of the metadata, is not written', () => {
    expect(() =>
      writeSafetensors(
        [
          ['a', floats(1)],
          ['a', floats(1)],
        ],
        {},
      ),
    ).toThrow(/second tensor named "a"/);
    expect(() => writeSafetensors([['__metadata__', floats(1)]], {})).toThrow(/__metadata__/);
  });

  test('a name like __proto__ is a tensor, not a prototype', () => {
    const { tensors } = parseSafetensors(writeSafetensors([['__proto__', floats(4)]], {}), 'file');
    expect([...tensors.keys()]).toEqual(['__proto__']);
    expect(Object.hasOwn(Object.prototype, 'dtype')).toBe(false);
  });
});

describe('damaged and hostile files', () => {
  const a = '"a":{"dtype":"F32","shape":[1],"data_offsets":[0,4]}';
  const cases: readonly [name: string, file: Uint8Array, message: RegExp][] = [
    ['an empty file', new Uint8Array(0), /0 bytes hold no safetensors header/],
    [
      'a header longer than the file',
      fileOf(`{${a}}`, 4, 1_000),
      /said to have 1000 bytes, expected at most/,
    ],
    [
      'a header of 2^64 - 1 bytes',
      Buffer.concat([Buffer.alloc(8, 0xff), Buffer.from(`{${a}}`)]),
      /1844674407/,
    ],
    [
      'a header of 5 MB',
      fileOf(`{"__metadata__":{"a":"${'x'.repeat(5e6)}"}}`, 0),
      /expected at most 4194304/,
    ],
    ['a header that is no JSON', fileOf(`{${a}`, 4), /header: not JSON/],
    [
      'a header that is not UTF-8',
      Buffer.concat([fileOf('', 0, 3), Buffer.from([0x7b, 0xff, 0x7d])]),
      /UTF-8/,
    ],
    ['a header that begins with a space', fileOf(` {${a}}`, 4), /does not begin with \{/],
    ['a list as its header', fileOf('[{}]', 0), /does not begin with \{/],
    ['a tensor twice', fileOf(`{${a},${a}}`, 4), /the key "a" comes twice/],
    ['a tensor twice, once escaped', fileOf(`{${a},${a.replace('a', '\\u0061')}}`, 4), /comes twice/],
    ['offsets beyond the file', fileOf(`{${a}}`, 3), /end at 4, the file has 3/],
    ['bytes behind the last tensor', fileOf(`{${a}}`, 5), /end at 4, the file has 5/],
    ['a hole', fileOf(`{${a},${a.replace('a', 'b').replace('0,4', '5,9')}}`, 9), /"b" leaves a hole/],
    ['an overlap', fileOf(`{${a},${a.replace('a', 'b').replace('0,4', '2,6')}}`, 6), /"b" overlaps/],
    ['the same place twice', fileOf(`{${a},${a.replace('a', 'b')}}`, 4), /"b" overlaps/],
    ['a negative offset', fileOf(`{${a.replace('0,4', '-4,0')}}`, 4), /tensor "a" at \/data_offsets/],
    ['offsets the wrong way round', fileOf(`{${a.replace('0,4', '4,0')}}`, 4), /has 4 bytes, its offsets/],
    ['a shape of another size', fileOf(`{${a.replace('[1]', '[2]')}}`, 4), /shape \[2\] has 8 bytes/],
    [
      'a shape without bounds',
      fileOf(`{${a.replace('[1]', '[9e15,9e15]')}}`, 4),
      /its offsets 0 to 4 have 4/,
    ],
    ['half an element', fileOf(`{${a.replace('[1]', '[0.5]')}}`, 4), /tensor "a" at \/shape/],
    ['an unknown dtype', fileOf(`{${a.replace('F32', 'F8_E4M3')}}`, 4), /found "F8_E4M3"/],
    ['a dtype that every object has', fileOf(`{${a.replace('F32', 'toString')}}`, 4), /found "toString"/],
    ['metadata that is not strings', fileOf(`{"__metadata__":{"a":1},${a}}`, 4), /__metadata__ at \/a/],
  ];
  test.each(cases)('%s is refused', (_name, file, message) => {
    expect(() => parseSafetensors(file, 'file')).toThrow(
      expect.objectContaining({ name: 'AppError', code: 'invalid', message: expect.stringMatching(message) }),
    );
  });

  test('a repeated key is found wherever it is, and only there', () => {
    expect(repeatedKey('{"a":{"x":1, "x" : 1}}')).toBe('x');
    expect(repeatedKey('{"a\\"":1,"b":"{,","a\\"":2}')).toBe('a"');
    expect(repeatedKey('{"a":["x","x",{"b":"a","c":"a"}],"b":"a"}')).toBeUndefined();
    fc.assert(
      fc.property(fc.json(), (text) => {
        expect(repeatedKey(JSON.stringify(JSON.parse(text)))).toBeUndefined();
      }),
    );
  });
});

describe('numbers as float32', () => {
  const tensorOf = (dtype: CheckpointTensor['dtype'], bytes: ArrayBufferView): CheckpointTensor => ({
    dtype,
    shape: [bytes.byteLength / ELEMENT_BYTES[dtype]],
    bytes: new Uint8Array(bytes.buffer, bytes.byteOffset, bytes.byteLength),
  });

  test('float32 shares the memory where it is aligned, and is copied where it is not', () => {
    const source = Float32Array.of(1, -2.5, 3e38);
    expect(toFloat32(tensorOf('F32', source), 'x').buffer).toBe(source.buffer);
    const shifted = new Uint8Array(13);
    shifted.set(new Uint8Array(source.buffer), 1);
    expect(toFloat32(tensorOf('F32', shifted.subarray(1)), 'x')).toEqual(source);
  });

  test('float64 is rounded, and infinite where a float32 has no such number', () => {
    const numbers = toFloat32(tensorOf('F64', Float64Array.of(0.1, 1e300)), 'x');
    expect([...numbers]).toEqual([Math.fround(0.1), Infinity]);
  });

  test('every float16 has the value that IEEE 754 gives it', () => {
    const numbers = toFloat32(
      tensorOf(
        'F16',
        Uint16Array.from({ length: 65_536 }, (_, bits) => bits),
      ),
      'x',
    );
    expect(numbers.findIndex((value, bits) => !Object.is(value, halfOf(bits)))).toBe(-1);
  });

  test('bfloat16 is the upper half of a float32', () => {
    const numbers = toFloat32(tensorOf('BF16', Uint16Array.of(0x3f80, 0xc020, 0x7f80, 0x0001)), 'x');
    expect([...numbers]).toEqual([1, -2.5, Infinity, 2 ** -133]);
  });

  test('whole numbers are not weights', () => {
    expect(() => toFloat32(tensorOf('I64', BigInt64Array.of(1n)), 'count')).toThrow(
      'count: expected a tensor of floats, found I64',
    );
  });
});
