import { readFileSync } from 'node:fs';
import fc from 'fast-check';
import { describe, expect, test } from 'vitest';
import { parseCheckpoint } from '../../../models/checkpoint/read.ts';
import type { CheckpointTensor } from '../../../models/ofa/checkpoint.ts';
import { writeSafetensors } from '../../../models/ofa/safetensors.ts';
import { AppError } from '../../../shared/errors.ts';
import type { Picklable } from '../../support/pickle.ts';
import { referencePath, testWithReference } from '../../support/reference.ts';
import { tensorCall, torchLegacy, torchZip } from '../../support/torch-files.ts';

const STORAGES = { '0': new Uint8Array(48).fill(1), '1': new Uint8Array(16).fill(2) };
const OBJECT: Picklable = {
  dict: [
    ['epoch', 12],
    [
      'state_dict',
      {
        dict: [
          ['a', tensorCall({ storage: '0', count: 12, shape: [4, 3], strides: [1, 4] })],
          ['b', tensorCall({ storage: '1', count: 2, type: 'LongStorage', shape: [2], strides: [1] })],
        ],
      },
    ],
  ],
};
const TENSORS: readonly [string, CheckpointTensor][] = [
  ['a', { dtype: 'F32', shape: [4, 3], bytes: STORAGES['0'] }],
  ['b', { dtype: 'I64', shape: [2], bytes: STORAGES['1'] }],
];
const FILES: readonly [form: string, file: Uint8Array][] = [
  ['safetensors', writeSafetensors(TENSORS, { spec: '{}' })],
  ['torch-zip', torchZip(OBJECT, STORAGES)],
  ['torch-legacy', torchLegacy(OBJECT, STORAGES, { '0': 12, '1': 2 })],
];

/** Bytes of all tensors of a file, or undefined where it is refused as it should be. */
function bytesRead(file: Uint8Array): number | undefined {
  try {
    return [...parseCheckpoint(file, 'file').tensors.values()].reduce(
      (sum, { bytes }) => sum + bytes.length,
      0,
    );
  } catch (error) {
    if (error instanceof AppError && !error.message.includes('\n')) return undefined;
    throw error;
  }
}

describe.each(FILES)('a damaged file in the form %s', (form, file) => {
  test('is whole before it is damaged', () => {
    expect(parseCheckpoint(file, 'file').format).toBe(form);
    expect(bytesRead(file)).toBe(64);
  });

  test('is refused at whatever length it is cut', () => {
    for (let length = 0; length < file.length; length += 1) {
      expect(bytesRead(file.subarray(0, length)), `cut at ${length}`).toBeUndefined();
    }
  });

  test('is refused or read with any bytes changed, and takes no memory beyond its own size', () => {
    const change = fc.tuple(fc.nat({ max: file.length - 1 }), fc.nat({ max: 255 }));
    fc.assert(
      fc.property(fc.array(change, { minLength: 1, maxLength: 4 }), (changes) => {
        const damaged = Uint8Array.from(file);
        for (const [place, byte] of changes) damaged[place] = byte;
        expect(bytesRead(damaged) ?? 0).toBeLessThan(10 * file.length);
      }),
      { numRuns: 1_000 },
    );
  });

  test('is refused or read with any single bit turned', () => {
    const damaged = Uint8Array.from(file);
    for (let place = 0; place < file.length; place += 1) {
      for (let bit = 0; bit < 8; bit += 1) {
        damaged[place] = (file[place] ?? 0) ^ (1 << bit);
        expect(bytesRead(damaged) ?? 0).toBeLessThan(10 * file.length);
      }
      damaged[place] = file[place] ?? 0;
    }
  });
});

describe.each(['pth', 'legacy.pth', 'safetensors'])('real weights in the form %s', (form) => {
  testWithReference(`ofa/supernet_w0.35.${form}`, 'are refused at whatever length they are cut', () => {
    const file = readFileSync(referencePath('ofa', `supernet_w0.35.${form}`));
    for (let part = 0; part < 16; part += 1) {
      expect(bytesRead(file.subarray(0, Math.floor((file.length * part) / 16)))).toBeUndefined();
      expect(bytesRead(file.subarray(0, file.length - 1 - part * part))).toBeUndefined();
    }
  });
});
