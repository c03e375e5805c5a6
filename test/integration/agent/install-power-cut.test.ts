import { expect, test } from 'vitest';
import { seededRandom } from '../../../shared/random.ts';
import { cutPower } from '../../support/power-cuts.ts';
import { temporaryFolder } from '../../support/temp.ts';

test('after a power cut at any moment of an install a known family serves, whole, and in the end it is committed', async () => {
  await using folder = await temporaryFolder();
  const [full, recipes] = await Promise.all([
    cutPower(folder.path, 'full', { random: seededRandom(6), cuts: 5 }),
    cutPower(folder.path, 'recipes', { random: seededRandom(7), cuts: 5 }),
  ]);
  // They were cut while they did something, not only before and after.
  const inProgress = [full, recipes].map(({ places }) => Object.keys(places));
  expect(inProgress.flat()).toEqual(expect.arrayContaining(['fetching', 'staging']));
}, 120_000);
