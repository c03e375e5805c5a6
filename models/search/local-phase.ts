import { pick } from '../../shared/random.ts';
import type { Archive, Evaluated } from './archive.ts';
import { type Neighbour, Neighbourhood, type Tried } from './changes.ts';
import { fewChanges } from './few-changes.ts';
import type { Workshop } from './global-phase.ts';
import { manyChanges } from './many-changes.ts';
import { Niches } from './niches.ts';
import { Slices } from './slices.ts';
import { fitSurrogate } from './surrogate.ts';

/** Points of the front whose neighbours are looked at in one pass. */
const FRONT_ELITES = 4;

/** Where elites come from besides the front. */
interface Source {
  next(done: ReadonlySet<Evaluated>): Evaluated[];
}

/**
 * Improves the front until the evaluations are used up or nothing near it has a neighbour left to look at:
 * evaluates the single changes of some points, then the combinations of those changes that promise most: of
 * few changes by beam search, of any number by the knapsack.
 */
export async function searchLocally(workshop: Workshop): Promise<void> {
  const { landscape, archive } = workshop;
  const done = new Set<Evaluated>();
  const sources = [new Niches(workshop), new Slices(archive)];
  const neighbourhood = new Neighbourhood(landscape, fitSurrogate(landscape, archive).mean);
  while (archive.remaining > 0) {
    const elites = elitesOf(workshop, done, sources);
    if (elites.length === 0) return;
    for (const elite of elites) done.add(elite);
    const tried = await triedAll(
      archive,
      elites.map(({ genome }) => neighbourhood.of(genome)),
    );
    await archive.evaluate(
      elites.flatMap((elite, index) => [
        ...fewChanges(landscape, archive, elite, tried[index] ?? []),
        ...manyChanges(workshop, elite, tried[index] ?? []),
      ]),
    );
  }
}

/** Evaluates the neighbours of several networks at once. */
async function triedAll(archive: Archive, lists: readonly (readonly Neighbour[])[]): Promise<Tried[][]> {
  const results = await archive.evaluate(lists.flat().map(({ genome }) => genome));
  let first = 0;
  return lists.map((list) => {
    const start = first;
    first += list.length;
    return list.flatMap(({ change }, index) => {
      const result = results[start + index];
      return result === undefined ? [] : [{ change, result }];
    });
  });
}

/** Points whose neighbours are looked at next: of the whole front, and of each other source. */
function elitesOf(
  { archive, random }: Workshop,
  done: ReadonlySet<Evaluated>,
  sources: readonly Source[],
): Evaluated[] {
  const open = archive.front.filter((one) => !done.has(one));
  const count = Math.min(FRONT_ELITES, open.length);
  const elites = Array.from({ length: count }, (_, index) => {
    const from = Math.floor((index * open.length) / count);
    const to = Math.floor(((index + 1) * open.length) / count);
    return pick(random, open.slice(from, to));
  });
  return [...new Set([...elites, ...sources.flatMap((source) => source.next(done))])];
}
