import { readFileSync } from 'node:fs';
import { describe, expect, test } from 'vitest';
import { parseCheckpoint, readCheckpoint } from '../../../models/checkpoint/read.ts';
import { type Backbone, backboneOf, makeBackbone, writeBackbone } from '../../../models/ofa/backbone.ts';
import type { Checkpoint, CheckpointTensor } from '../../../models/ofa/checkpoint.ts';
import { expectedTensors } from '../../../models/ofa/layout.ts';
import { parseSafetensors, writeSafetensors } from '../../../models/ofa/safetensors.ts';
import { type SearchSpace, specOf } from '../../../models/ofa/space.ts';
import { KNOWN_SPACES, mobileNetV3Space } from '../../../models/ofa/spaces.ts';
import { randomBackbone } from '../../support/random-backbone.ts';
import { referencePath, testWithReference } from '../../support/reference.ts';

/** A small space that is still of MIT's form. */
const SPACE: SearchSpace = {
  ...mobileNetV3Space({ widthMultiplier: 0.1 }),
  classes: 3,
  finalExpandWidth: 16,
  featureMixWidth: 8,
};
const BACKBONE = randomBackbone(SPACE, 1);
const STEM = 'first_conv.conv.weight';

function checkpointOf(backbone: Backbone, metadata: Record<string, string> = {}): Checkpoint {
  const { tensors } = parseSafetensors(writeBackbone(backbone), 'file');
  return { tensors, metadata };
}

/** The checkpoint with one tensor changed, or taken away. */
function withTensor(name: string, change?: (tensor: CheckpointTensor) => CheckpointTensor): Checkpoint {
  const { tensors, metadata } = checkpointOf(BACKBONE);
  const changed = new Map(tensors);
  const tensor = tensors.get(name);
  if (tensor === undefined) return expect.fail(`there is no ${name}`);
  if (change === undefined) changed.delete(name);
  else changed.set(name, change(tensor));
  return { tensors: changed, metadata };
}

function withNumber(name: string, index: number, value: number): Checkpoint {
  return withTensor(name, (tensor) => {
    const bytes = Uint8Array.from(tensor.bytes);
    new DataView(bytes.buffer).setFloat32(4 * index, value, true);
    return { ...tensor, bytes };
  });
}

describe('a backbone of a checkpoint', () => {
  test('has exactly the tensors of its space, in their order', () => {
    const { tensors, space } = backboneOf(checkpointOf(BACKBONE), { what: 'file' });
    expect(space).toEqual(SPACE);
    expect([...tensors.keys()]).toEqual(expectedTensors(SPACE).map(({ name }) => name));
    expect(tensors).toEqual(BACKBONE.tensors);
  });

  test.each<[string, (name: string) => string]>([
    ["MIT's released files", (name) => name.replace(/^(blocks\.\d+)\.conv\./, '$1.mobile_inverted_conv.')],
    ['training on several devices', (name) => `module.${name}`],
    ['both', (name) => `module.${name.replace(/^(blocks\.\d+)\.conv\./, '$1.mobile_inverted_conv.')}`],
  ])('names as in %s are understood', (_name, rename) => {
    const { tensors, metadata } = checkpointOf(BACKBONE);
    const renamed = new Map([...tensors].map(([name, tensor]) => [rename(name), tensor]));
    expect(backboneOf({ tensors: renamed, metadata }, { what: 'file' }).id).toBe(BACKBONE.id);
    const both = new Map([...tensors, ...renamed]);
    expect(() => backboneOf({ tensors: both, metadata }, { what: 'file' })).toThrow(/is there twice/);
  });

  test('counts of batches are left out', () => {
    const { tensors, metadata } = checkpointOf(BACKBONE);
    const count: CheckpointTensor = { dtype: 'I64', shape: [], bytes: new Uint8Array(8) };
    const counted = new Map([...tensors, ['first_conv.bn.num_batches_tracked', count] as const]);
    expect(backboneOf({ tensors: counted, metadata }, { what: 'file' }).id).toBe(BACKBONE.id);
  });

  test('the space is the one that is given, else the stated one, else that of the shapes', () => {
    const stated = { ...SPACE, resolutions: [32], frame: [40, 48] as const };
    const checkpoint = checkpointOf(BACKBONE, { spec: JSON.stringify(specOf(stated)) });
    expect(backboneOf(checkpoint, { what: 'file' }).space).toEqual(stated);
    expect(backboneOf(checkpoint, { what: 'file', space: SPACE }).space).toEqual(SPACE);
  });

  test('a spec without a frame has that of the known space that is else equal', () => {
    const known = KNOWN_SPACES.get('fashion-mnist') ?? expect.fail('not known');
    const { frame, ...spec } = specOf(known);
    const { tensors } = checkpointOf(randomBackbone(known, 1));
    const frameOf = (stated: object): readonly number[] =>
      backboneOf({ tensors, metadata: { spec: JSON.stringify(stated) } }, { what: 'file' }).space.frame;
    expect(frameOf(spec)).toEqual(frame);
    expect(frameOf({ ...spec, resolutions: [20, 24] })).toEqual([24, 24]);
  });
});

describe('weights that do not fit', () => {
  const variance = 'blocks.3.conv.point_linear.bn.bn.running_var';
  const extra = (tensor: CheckpointTensor): Checkpoint => {
    const { tensors, metadata } = checkpointOf(BACKBONE);
    return { tensors: new Map([...tensors, ['extra', tensor]]), metadata };
  };
  test.each<[string, Checkpoint, RegExp]>([
    ['a missing tensor', withTensor(variance), new RegExp(`file: ${variance} is missing \\(the file states`)],
    [
      'one too many',
      extra({ dtype: 'F32', shape: [], bytes: new Uint8Array(4) }),
      /file: "extra" is not a tensor of the space \(the file/,
    ],
    [
      'another shape of as many numbers',
      withTensor(variance, (tensor) => ({ ...tensor, shape: [1, ...tensor.shape] })),
      /running_var: expected shape \[8\], found \[1, 8\]/,
    ],
    [
      'another shape where the space is read off',
      withTensor(STEM, (tensor) => ({ ...tensor, shape: [4, 3, 3, 6] })),
      /expected shape \[4, 3, 3, 3\], found \[4, 3, 3, 6\]/,
    ],
    [
      'whole numbers',
      withTensor(variance, (tensor) => ({ ...tensor, dtype: 'I32' })),
      /running_var: expected a tensor of floats, found I32/,
    ],
    [
      'not a number',
      withNumber(STEM, 5, Number.NaN),
      /first_conv.conv.weight: element 5 is NaN, expected a finite/,
    ],
    ['an infinite number', withNumber(STEM, 0, -Infinity), /element 0 is -Infinity, expected a finite/],
    [
      'a negative variance',
      withNumber(variance, 7, -1),
      /running_var: element 7 is -1, expected a variance from 0/,
    ],
  ])('%s is refused', (_name, checkpoint, message) => {
    expect(() => backboneOf(checkpoint, { what: 'file' })).toThrow(
      expect.objectContaining({ code: 'invalid', message: expect.stringMatching(message) }),
    );
  });

  test('where the space was assumed, the message says so', () => {
    const assumed = /states no search space, so that of MIT's ofa_mbv3 was assumed; --space FILE/;
    const missing = withTensor(variance);
    expect(() => backboneOf(missing, { what: 'file' })).toThrow(assumed);
    expect(() => backboneOf(missing, { what: 'file', space: SPACE })).toThrow(/is missing$/);
    const stated = { ...missing, metadata: { spec: JSON.stringify(specOf(SPACE)) } };
    expect(() => backboneOf(stated, { what: 'file' })).toThrow(/is missing$/);
    const grey = randomBackbone({ ...SPACE, inChannels: 1, mean: [0.5], std: [0.5] }, 1);
    expect(() => backboneOf(checkpointOf(grey), { what: 'file' })).toThrow(
      /file: its images have 1 channels, expected 3 \(the file states no search space/,
    );
  });

  test('tensors without any number make no space', () => {
    const nothing = withTensor(STEM, () => ({ dtype: 'F32', shape: [0, 3, 3, 3], bytes: new Uint8Array(0) }));
    expect(() => backboneOf(nothing, { what: 'file' })).toThrow(/file: .* at \/first/);
  });

  test('a variance of 0 is none of them: real networks have channels that never vary', () => {
    expect(() => backboneOf(withNumber(variance, 0, 0), { what: 'file' })).not.toThrow();
  });

  test.each([
    ['no JSON', '{'],
    ['no space', '{}'],
  ])('metadata with %s as its spec is refused', (_name, spec) => {
    expect(() => backboneOf(checkpointOf(BACKBONE, { spec }), { what: 'file' })).toThrow(
      /file: spec in the metadata/,
    );
  });

  test('other weights are told apart from a super-network', () => {
    const { tensors } = parseSafetensors(writeSafetensors([], {}), 'file');
    expect(() => backboneOf({ tensors, metadata: {} }, { what: 'file' })).toThrow(/states no search space/);
  });
});

describe('the id', () => {
  test('is of the space and every number', () => {
    const changed = backboneOf(withNumber(STEM, 0, 1.5), { what: 'file' });
    const ids = [
      BACKBONE.id,
      changed.id,
      randomBackbone(SPACE, 2).id,
      makeBackbone({ ...SPACE, mean: [0, 0, 0] }, BACKBONE.tensors).id,
    ];
    expect(new Set(ids).size).toBe(4);
    expect(randomBackbone(SPACE, 1).id).toBe(BACKBONE.id);
  });

  test('is kept by writing and reading, and extra metadata with it', () => {
    const file = writeBackbone(BACKBONE, { source: 'somewhere', spec: 'not this' });
    const checkpoint = parseCheckpoint(file, 'file');
    expect(checkpoint.metadata).toEqual({
      format: 'pt',
      source: 'somewhere',
      spec: JSON.stringify(specOf(SPACE)),
    });
    expect(backboneOf(checkpoint, { what: 'file' }).id).toBe(BACKBONE.id);
    expect(writeBackbone(backboneOf(checkpoint, { what: 'file' }), { source: 'somewhere' })).toEqual(file);
  });

  testWithReference(
    'ofa/supernet_w0.35.pth',
    'is the same for all three forms of the same weights',
    async () => {
      const forms = ['pth', 'legacy.pth', 'safetensors'].map(async (form) => {
        const path = referencePath('ofa', `supernet_w0.35.${form}`);
        return backboneOf(await readCheckpoint(path), { what: path });
      });
      const backbones = await Promise.all(forms);
      expect(new Set(backbones.map(({ id }) => id)).size).toBe(1);
      expect(backbones[0]?.space).toEqual(mobileNetV3Space({ widthMultiplier: 0.35 }));
    },
  );

  testWithReference(
    'family-fashion-mnist/backbone.safetensors',
    "the project's own backbone is of its space",
    () => {
      const path = referencePath('family-fashion-mnist/backbone.safetensors');
      const { space } = backboneOf(parseSafetensors(readFileSync(path), path), { what: path });
      expect(space).toEqual(KNOWN_SPACES.get('fashion-mnist'));
    },
  );
});
