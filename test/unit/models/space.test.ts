import fc from 'fast-check';
import { describe, expect, test } from 'vitest';
import {
  architectureParser,
  blockShapes,
  canonicalArchitecture,
  checkArchitecture,
  extremeArchitecture,
  midChannels,
} from '../../../models/ofa/architecture.ts';
import { makeDivisible, spaceParser, specOf } from '../../../models/ofa/space.ts';
import { KNOWN_SPACES, mobileNetV3Space } from '../../../models/ofa/spaces.ts';
import { anyArchitecture } from '../../support/architectures.ts';

const MIT = mobileNetV3Space({ widthMultiplier: 1 });
const parseSpace = spaceParser();

describe('a search space', () => {
  test('is read back as it was written', () => {
    for (const space of KNOWN_SPACES.values()) {
      expect(parseSpace(JSON.parse(JSON.stringify(specOf(space))), 'space')).toEqual(space);
    }
  });

  test.each([
    ['strides', [1, 2], 'strides has 2 entries for 5 stages'],
    ['ks', [3, 4], 'ks: kernel sizes are odd numbers'],
    ['mean', [0.5], 'mean has 1 values for 3 channels'],
    ['std', [1, 1, 0], 'std: 0 is not within 0.000001..1000000'],
    ['std', [1, 1, 1e-39], 'std: 1e-39 is not within'],
    ['std', 1e37, 'std: 1e+37 is not within'],
    ['mean', [0.5, -1e37, 0.5], 'mean: -1e+37 is not within -1000000..1000000'],
    ['e', [1, 1], 'e: expected another expand ratio than 1 among them'],
    ['widths', [], 'space at /widths'],
    ['acts', ['relu', 'gelu', 'relu', 'relu', 'relu'], 'space at /acts/1'],
  ])('is refused with wrong %s', (key, value, message) => {
    expect(() => parseSpace({ ...specOf(MIT), [key]: value }, 'space')).toThrow(message);
  });

  test('has expand ratio 1 beside others', () => {
    expect(parseSpace({ ...specOf(MIT), e: [3, 1] }, 'space').expandRatios).toEqual([1, 3]);
  });

  test('has one value for all channels where the file has a number', () => {
    expect(parseSpace({ ...specOf(MIT), mean: 0.5, std: 0.25 }, 'space')).toMatchObject({
      mean: [0.5, 0.5, 0.5],
      std: [0.25, 0.25, 0.25],
    });
  });
});

test('a number of channels becomes a multiple of 8, never more than a tenth below it', () => {
  fc.assert(
    fc.property(fc.integer({ min: 1, max: 10_000 }), (channels) => {
      const made = makeDivisible(channels);
      expect(made % 8).toBe(0);
      expect(made).toBeGreaterThanOrEqual(Math.max(8, 0.9 * channels));
      expect(made - channels).toBeLessThanOrEqual(8);
    }),
  );
});

test("half a channel is rounded as Python's round does, to the even number", () => {
  // round(17 * 0.5) is 8; 9 would become 16, for 8 is more than a tenth below it.
  expect(midChannels(17, 0.5)).toBe(8);
  expect(midChannels(19, 0.5)).toBe(16);
});

describe('an architecture', () => {
  const largest = extremeArchitecture(MIT, 'largest');

  test('is read with its resolution as a number or as a list of one', () => {
    const parse = architectureParser();
    expect(parse({ ...largest, r: [224] }, 'arch')).toEqual(parse({ ...largest, r: 224 }, 'arch'));
  });

  test.each([
    ['ks', { ks: largest.ks.with(7, 4) }, 'arch: ks[7] is 4, the space has 3, 5, 7'],
    ['e', { e: largest.e.slice(1) }, 'arch: e has 19 entries, the space has 20'],
    ['d', { d: [4, 4, 4, 4, 5] }, 'arch: d[4] is 5, the space has 2, 3, 4'],
    ['r', { r: 97 }, 'arch: r is 97, the space has 128'],
    ['number', { r: Number.NaN }, 'arch: r is NaN'],
  ])('outside of the space is refused by its %s', (_, change, message) => {
    expect(() => checkArchitecture(MIT, { ...largest, ...change }, 'arch')).toThrow(message);
  });

  test.each([[{ ks: 3, e: [], d: [], r: 1 }], [{ ks: [], e: [], d: [], r: [1, 2] }], [null], ['largest']])(
    'of another form is refused: %j',
    (value) => {
      expect(() => architectureParser()(value, 'arch')).toThrow(/^arch/);
    },
  );

  test('runs the same blocks in its canonical form', () => {
    fc.assert(
      fc.property(anyArchitecture(MIT), (architecture) => {
        const canonical = canonicalArchitecture(MIT, architecture);
        expect(blockShapes(MIT, canonical)).toEqual(blockShapes(MIT, architecture));
        expect(canonicalArchitecture(MIT, canonical)).toEqual(canonical);
      }),
    );
  });

  test('has blocks that fit each other', () => {
    fc.assert(
      fc.property(anyArchitecture(MIT), (architecture) => {
        const shapes = blockShapes(MIT, architecture);
        expect(shapes).toHaveLength(1 + architecture.d.reduce((sum, depth) => sum + depth, 0));
        for (const [index, shape] of shapes.entries()) {
          const before = shapes[index - 1];
          if (before === undefined) continue;
          expect([shape.inChannels, shape.inSize]).toEqual([before.outChannels, before.outSize]);
        }
      }),
    );
  });
});
