import { type LatencyTable, layerKeys } from '../../models/latency/table.ts';
import type { SearchSpace } from '../../models/ofa/space.ts';
import type { AccuracyPredictor } from '../../models/predictor/accuracy-predictor.ts';

/** A space that can be searched whole: grey 28 x 28 images, two stages of one or two blocks. */
export function smallSpace(): SearchSpace {
  return {
    inChannels: 1,
    classes: 10,
    stem: { width: 16, stride: 1 },
    firstBlock: { width: 16, stride: 2 },
    stages: [
      { width: 24, stride: 2, activation: 'relu', squeezeExcite: false },
      { width: 32, stride: 1, activation: 'h_swish', squeezeExcite: true },
    ],
    finalExpandWidth: 96,
    featureMixWidth: 128,
    kernelSizes: [3, 5],
    expandRatios: [3, 6],
    depths: [1, 2],
    resolutions: [20, 28],
    mean: [0.3],
    std: [0.35],
    frame: [28, 28],
  };
}

/** A table of every layer of a space's networks; times are some function of the key, times `scale`. */
export function smallTable(scale = 1, space: SearchSpace = smallSpace()): LatencyTable {
  const blocks = space.stages.length * Math.max(...space.depths);
  const each = (value: number, count: number): number[] => Array.from({ length: count }, () => value);
  const resolutions = space.resolutions.map((r) => {
    const keys = space.kernelSizes.flatMap((kernel) =>
      space.expandRatios.flatMap((ratio) =>
        layerKeys(space, {
          ks: each(kernel, blocks),
          e: each(ratio, blocks),
          d: each(Math.max(...space.depths), space.stages.length),
          r,
        }),
      ),
    );
    return [
      r,
      new Map(keys.map((key) => [key, { mean: scale * (0.1 + (hashOf(key) % 900) / 1_000) }])),
    ] as const;
  });
  return { device: 'test', resolutions: new Map(resolutions) };
}

/** A predictor whose values follow from the candidate in a rough, not additive way. */
export function roughPredictor(name = 'rough'): AccuracyPredictor {
  return {
    name,
    predict: (candidates) =>
      Promise.resolve(
        Float64Array.from(candidates, (candidate) => {
          const { ks, e, d, r } = candidate.architecture;
          const sum = [...ks, ...e, ...d].reduce((total, value) => total + value, 0);
          const int8 = candidate.precision === 'int8' ? 0.01 : 0;
          return 0.5 + sum / 500 + r / 1_000 - int8 + (hashOf(JSON.stringify(candidate)) % 100) / 4_000;
        }),
      ),
  };
}

function hashOf(text: string): number {
  let hash = 7;
  for (const character of text) hash = (Math.imul(hash, 31) + (character.codePointAt(0) ?? 0)) >>> 0;
  return hash;
}
