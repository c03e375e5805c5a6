import { readFile } from 'node:fs/promises';
import { describe, expect } from 'vitest';
import { parseLatencyTable } from '../../../models/latency/table.ts';
import { parseSafetensors } from '../../../models/ofa/safetensors.ts';
import type { AccuracyPredictor } from '../../../models/predictor/accuracy-predictor.ts';
import { publishedMlp } from '../../../models/predictor/published-mlp.ts';
import { bestUnder } from '../../../models/search/archive.ts';
import { searchFront } from '../../../models/search/search.ts';
import { publishedFront, publishedSpace, recordedBests } from '../../bench/models-search.ts';
import { referencePath, testWithReference } from '../../support/reference.ts';

const NARROWED = { ks: [5, 7], e: [4, 6], d: [3, 4], r: [208, 212, 216, 220] };
const SEEDS = [1, 2, 3];
const EMPTY = { settings: [], choices: [], stages: 5, perStage: 4 };

/** The best of all recorded runs of the published search at other limits of the GPU table. */
const OTHER_GPU = [
  { limitMs: 20, accuracy: 0.82232 },
  { limitMs: 25, accuracy: 0.83952 },
  { limitMs: 28, accuracy: 0.84476 },
];

/**
 * The same for the CPU table: the published evolution, written anew, population 100, parents 25 %, 500
 * generations, mutation probabilities 0.1 and 0.4, three seeds each.
 */
const CPU = [
  { limitMs: 900, accuracy: 0.790658 },
  { limitMs: 1_000, accuracy: 0.799902 },
  { limitMs: 1_500, accuracy: 0.824266 },
  { limitMs: 2_200, accuracy: 0.843965 },
];

describe('a search with the published predictor and table', () => {
  testWithReference(
    'dynamic-ofa/search.json',
    'is at least as good as the best run of the published search at every limit, from any of three seeds',
    async () => {
      const recorded = await recordedBests();
      const of = (space: string) => recorded.filter((run) => run.space === space);
      const cases = [
        { name: 'full17', restrict: {}, device: 'jetson_GPU', bars: [...of('full17'), ...OTHER_GPU] },
        { name: 'as-is', restrict: NARROWED, device: 'jetson_GPU', bars: of('as-is') },
        { name: 'full17', restrict: {}, device: 'jetson', bars: CPU },
      ];
      for (const { name, restrict, device, bars } of cases) {
        for (const seed of SEEDS) {
          const { points } = await publishedFront({ restrict, seed, threads: 1, device });
          for (const { limitMs, accuracy } of bars) {
            const found = bestUnder(points, limitMs)?.accuracy;
            expect(found, `${device}, ${name}, ${limitMs} ms, seed ${seed}`).toBeGreaterThanOrEqual(accuracy);
          }
        }
      }
    },
    120_000,
  );

  testWithReference(
    'dynamic-ofa/acc_predictor.safetensors',
    'is the same by genomes as by candidates',
    async () => {
      const space = publishedSpace();
      const name = 'latency_jetson_GPU.json';
      const table = parseLatencyTable(await readFile(referencePath('dynamic-ofa', name), 'utf8'), name);
      const weights = await readFile(referencePath('dynamic-ofa', 'acc_predictor.safetensors'));
      for (const continuousResolution of [false, true]) {
        const fast = await publishedMlp(parseSafetensors(weights, 'predictor'), space, {
          continuousResolution,
        });
        const plain: AccuracyPredictor = { name: fast.name, predict: fast.predict };
        const front = async (predictor: AccuracyPredictor) =>
          await searchFront({ space, predictor, latency: { fp32: table }, seed: 4, evaluations: 2_500 });
        expect(await front(fast)).toEqual(await front(plain));
        expect(() => fast.forGenomes?.({ ...EMPTY, settings: [{ r: 208, precision: 'int8' }] })).toThrow(
          'knows fp32 only, not int8',
        );
        await fast.close();
      }
    },
  );
});
