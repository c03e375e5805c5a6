import { describe, expect } from 'vitest';
import { bestUnder } from '../../../models/search/archive.ts';
import { publishedFront, recordedBests } from '../../bench/models-search.ts';
import { testWithReference } from '../../support/reference.ts';

const NARROWED = { ks: [5, 7], e: [4, 6], d: [3, 4], r: [208, 212, 216, 220] };
const RESTRICTIONS: Readonly<Record<string, typeof NARROWED | Record<string, never>>> = {
  full17: {},
  'as-is': NARROWED,
};

describe('a search with the published predictor and table', () => {
  testWithReference(
    'dynamic-ofa/search.json',
    'is at least as good as the best recorded run at every recorded limit, from any of five seeds',
    async () => {
      const recorded = await recordedBests();
      for (const [space, restrict] of Object.entries(RESTRICTIONS)) {
        for (const seed of [1, 2, 3, 4, 5]) {
          const { points } = await publishedFront({ restrict, seed, threads: 1 });
          for (const { limitMs, accuracy } of recorded.filter((run) => run.space === space)) {
            const found = bestUnder(points, limitMs)?.accuracy;
            expect(found, `${space}, ${limitMs} ms, seed ${seed}`).toBeGreaterThanOrEqual(accuracy);
          }
        }
      }
    },
    120_000,
  );
});
