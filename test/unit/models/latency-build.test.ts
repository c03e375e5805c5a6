import { readFileSync } from 'node:fs';
import fc from 'fast-check';
import { expect, test } from 'vitest';
import { judgeTable } from '../../../models/latency/check.ts';
import { undisturbedTime } from '../../../models/latency/probe.ts';
import { sampleArchitectures } from '../../../models/latency/sample.ts';
import { parseLatencyTable } from '../../../models/latency/table.ts';
import { layersOf, tableLayers } from '../../../models/latency/table-layers.ts';
import { canonicalArchitecture, checkArchitecture } from '../../../models/ofa/architecture.ts';
import { KNOWN_SPACES, mobileNetV3Space } from '../../../models/ofa/spaces.ts';
import { referencePath, testWithReference } from '../../support/reference.ts';

for (const name of ['latency_jetson.json', 'latency_jetson_GPU.json']) {
  testWithReference(
    `dynamic-ofa/${name}`,
    `the layers of MIT's w1.2 space are those of ${name}, no more and no less`,
    () => {
      const published = parseLatencyTable(
        readFileSync(referencePath('dynamic-ofa', name), 'utf8'),
        name,
      ).resolutions;
      expect(published.size).toBe(17);
      const ours = tableLayers(mobileNetV3Space({ widthMultiplier: 1.2 }), [...published.keys()]);
      for (const [resolution, layers] of published) {
        const keys = (ours.get(resolution) ?? []).map(({ key }) => key);
        expect(keys.toSorted()).toEqual([...layers.keys()].toSorted());
      }
    },
  );
}

const spaces = fc.constantFrom(...KNOWN_SPACES.values());

test('every layer of every architecture is among the layers of its resolution', () => {
  fc.assert(
    fc.property(spaces, fc.integer(), fc.nat(), (space, seed, which) => {
      const resolution = space.resolutions[which % space.resolutions.length] ?? 0;
      const known = new Map(
        tableLayers(space, [resolution])
          .get(resolution)
          ?.map(({ key, shape }) => [key, shape]),
      );
      const [architecture] = sampleArchitectures(space, { resolutions: [resolution], count: 1, seed });
      for (const { key } of architecture === undefined ? [] : layersOf(space, architecture)) {
        expect(known.has(key)).toBe(true);
      }
    }),
    { numRuns: 50 },
  );
});

test('a resolution that the space does not have is refused', () => {
  expect(() => tableLayers(mobileNetV3Space({ widthMultiplier: 1 }), [225])).toThrow(
    /the space has no resolution 225, only 128, 132/,
  );
});

test('sampled architectures are of the space, canonical, the same for a seed, and share the resolutions', () => {
  fc.assert(
    fc.property(spaces, fc.integer(), (space, seed) => {
      const resolutions = space.resolutions.slice(0, 3);
      const sample = (): ReturnType<typeof sampleArchitectures> =>
        sampleArchitectures(space, { resolutions, count: 9, seed });
      for (const architecture of sample()) {
        checkArchitecture(space, architecture, 'the sample');
        expect(canonicalArchitecture(space, architecture)).toEqual(architecture);
      }
      expect(sample()).toEqual(sample());
      for (const resolution of resolutions) {
        expect(sample().filter(({ r }) => r === resolution)).toHaveLength(3);
      }
    }),
    { numRuns: 30 },
  );
});

test('disturbed runs do not change a time as long as a tenth of the runs is undisturbed', () => {
  fc.assert(
    fc.property(fc.array(fc.double({ min: 0, max: 50, noNaN: true }), { maxLength: 36 }), (delays) => {
      const runs = [...Array.from({ length: 4 }, () => 2), ...delays.map((delay) => 2 + delay)];
      expect(undisturbedTime(runs).mean).toBe(2);
      expect(undisturbedTime(runs).std).toBe(0);
    }),
  );
});

const [architecture] = sampleArchitectures(mobileNetV3Space({ widthMultiplier: 1 }), {
  resolutions: [128],
  count: 1,
  seed: 1,
});

function networks(measured: readonly number[], predicted: readonly number[]) {
  if (architecture === undefined) throw new Error('no architecture');
  return predicted.map((predictedMs, index) => {
    const measuredMs = measured[index] ?? 0;
    return { architecture, predictedMs, measuredMs, medianMs: 1.5 * measuredMs };
  });
}

test('a table whose sums are on a line of the measured times is corrected to no error', () => {
  const predicted = [1, 5, 2, 4, 3];
  const check = judgeTable(
    networks(
      predicted.map((ms) => 0.5 + 2 * ms),
      predicted,
    ),
  );
  expect(check.spearman).toBeCloseTo(1, 12);
  expect(check.kendall).toBeCloseTo(1, 12);
  expect(check.correction?.offsetMs).toBeCloseTo(0.5, 9);
  expect(check.correction?.scale).toBeCloseTo(2, 9);
  expect(check.error.max).toBeCloseTo(1.5 / 2.5, 9);
  expect(check.error.median).toBeCloseTo(3.5 / 6.5, 9);
  expect(check.correctedError?.max).toBeCloseTo(0, 9);
  expect(check.disturbance).toBeCloseTo(1.5, 12);
});

test('a table that orders networks the wrong way round gets no correction', () => {
  const check = judgeTable(networks([5, 4, 3, 2], [1, 2, 3, 4]));
  expect(check.spearman).toBeCloseTo(-1, 12);
  expect(check.correction).toBeUndefined();
  expect(check.correctedError).toBeUndefined();
});

test('each network is judged by a line that was fitted without it', () => {
  // The even ones lie on y = x and the odd ones on y = 2x: each half is off by what the other's line says.
  const check = judgeTable(networks([1, 4, 3, 8, 5, 12], [1, 2, 3, 4, 5, 6]));
  expect(check.correctedError?.max).toBeCloseTo(1, 9);
  expect(check.correctedError?.median).toBeCloseTo(0.75, 9);
});

test('a space of more layers than can be measured is refused before they are made', () => {
  const space = mobileNetV3Space({ widthMultiplier: 1 });
  const many = Array.from({ length: 256 }, (_, index) => index + 1);
  expect(() => tableLayers({ ...space, expandRatios: many, kernelSizes: many }, [128])).toThrow(
    'latency table: 1310720 layers at a resolution, at most 5000',
  );
});
