import { readFileSync } from 'node:fs';
import Type from 'typebox';
import { describe, expect, test } from 'vitest';
import { expectedTensors, kernelMatrixName, supernetParameters } from '../../../models/ofa/layout.ts';
import { spaceParser, specOf } from '../../../models/ofa/space.ts';
import { inferSpace, KNOWN_SPACES, mobileNetV3Space } from '../../../models/ofa/spaces.ts';
import { parseJson, parserOf } from '../../../shared/schema.ts';
import { referencePath, testWithReference } from '../../support/reference.ts';

const LayoutSchema = Type.Record(
  Type.String(),
  Type.Object({
    supernet_params: Type.Integer(),
    tensors: Type.Record(Type.String(), Type.Tuple([Type.String(), Type.Array(Type.Integer())])),
  }),
);
const WIDTHS = [1, 1.2, 0.35];

describe('the tensors of a super-network', () => {
  testWithReference(
    'ofa/layout.json',
    "are those of OFA's own code: names, shapes, types, order and count",
    () => {
      const text = readFileSync(referencePath('ofa/layout.json'), 'utf8');
      const layout = parseJson(text, parserOf(LayoutSchema), 'layout.json');
      for (const width of WIDTHS) {
        const expected = layout[width.toFixed(2)];
        const space = mobileNetV3Space({ widthMultiplier: width });
        const tensors = expectedTensors(space, { batchCounts: true }).map(({ name, shape, role }) => [
          name,
          [role === 'batch-count' ? 'int64' : 'float32', shape],
        ]);
        expect(tensors).toEqual(Object.entries(expected?.tensors ?? {}));
        expect(supernetParameters(space)).toBe(expected?.supernet_params);
      }
    },
  );

  test('the learned numbers are counted with kernel matrices and without running statistics', () => {
    const parameters = WIDTHS.map((width) =>
      supernetParameters(mobileNetV3Space({ widthMultiplier: width })),
    );
    expect(parameters).toEqual([7_678_880, 10_715_752, 1_412_336]);
  });

  test('counts of batches are listed only where they are asked for', () => {
    const space = mobileNetV3Space({ widthMultiplier: 1 });
    const names = expectedTensors(space).map(({ name }) => name);
    expect(names).toHaveLength(411);
    expect(names.some((name) => name.endsWith('num_batches_tracked'))).toBe(false);
    expect(expectedTensors(space, { batchCounts: true })).toHaveLength(475);
  });

  test('there is a matrix from each kernel to the next smaller one', () => {
    const space = { ...mobileNetV3Space({ widthMultiplier: 1 }), kernelSizes: [1, 3, 7] };
    const matrices = expectedTensors(space).filter(({ name }) =>
      name.startsWith('blocks.2.conv.depth_conv.conv.'),
    );
    expect(matrices.map(({ name, shape }) => [name.split('.').at(-1), shape])).toEqual([
      ['3to1_matrix', [1, 1]],
      ['7to3_matrix', [9, 9]],
      ['weight', [144, 1, 7, 7]],
    ]);
    expect(kernelMatrixName(2, 7, 3)).toBe(matrices[1]?.name);
    const oneKernel = expectedTensors({ ...space, kernelSizes: [5] });
    expect(oneKernel.some(({ role }) => role === 'kernel-matrix')).toBe(false);
  });
});

describe('known spaces', () => {
  test('widths are multiples of 8, never a tenth below what the multiplier asks', () => {
    const { stem, firstBlock, stages, finalExpandWidth, featureMixWidth } = mobileNetV3Space({
      widthMultiplier: 1.2,
    });
    const widths = [stem, firstBlock, ...stages].map(({ width }) => width);
    expect([...widths, finalExpandWidth, featureMixWidth]).toEqual([
      24, 24, 32, 48, 96, 136, 192, 1_152, 1_536,
    ]);
  });

  test.each([...KNOWN_SPACES])('%s is read back from its written form', (name, space) => {
    expect(spaceParser()(specOf(space), name)).toEqual(space);
  });

  test.each(WIDTHS)("the widths of MIT's form times %d are read off from the shapes", (widthMultiplier) => {
    const space = { ...mobileNetV3Space({ widthMultiplier }), classes: 7 };
    const shapes = new Map(expectedTensors(space).map(({ name, shape }) => [name, shape]));
    expect(inferSpace(shapes, 'file')).toEqual(space);
    shapes.set('first_conv.conv.weight', [space.stem.width, 1, 3, 3]);
    expect(() => inferSpace(shapes, 'file')).toThrow(/have 1 channels, expected 3 \(the file states no/);
    shapes.set('first_conv.conv.weight', [space.stem.width, 3, 3, 3]);
    shapes.delete('blocks.9.conv.point_linear.conv.conv.weight');
    expect(() => inferSpace(shapes, 'file')).toThrow(/file: .*blocks\.9\.conv\.point_linear.* is missing/);
  });
});
