import type { Random } from '../../shared/random.ts';
import { bestUnder, type Evaluated, frontOf } from './archive.ts';
import type { Landscape } from './genome.ts';
import type { Workshop } from './global-phase.ts';

/** Points further below the front are not looked at. */
const SLACK = 3e-3;
/** Niches of which a pass takes one point each. */
const PER_PASS = 4;

/** The networks with one value of one gene. */
interface Niche {
  readonly gene: number;
  readonly value: number;
  /** Those that no other of them beats, of all that were near the front when they were found. */
  front: readonly Evaluated[];
}

/**
 * Fronts of the networks that share one setting, or the depth of one stage, each in its turn: by itself the
 * search would go on along the shape of network that it found first, though another may hold the better half.
 */
export class Niches {
  readonly #workshop: Workshop;
  readonly #niches: readonly Niche[];
  #turn = 0;
  #looked = 0;

  constructor(workshop: Workshop) {
    this.#workshop = workshop;
    this.#niches = shuffled(nichesOf(workshop.landscape), workshop.random);
  }

  /** One point of each of the next niches, where they have one that is near the front and not done yet. */
  next(done: ReadonlySet<Evaluated>): Evaluated[] {
    this.#sortIn();
    const taken = new Set<Evaluated>();
    for (let tried = 0; tried < this.#niches.length && taken.size < PER_PASS; tried += 1) {
      const front = this.#niches[this.#turn]?.front ?? [];
      this.#turn = (this.#turn + 1) % this.#niches.length;
      const open = front.filter((one) => !done.has(one) && !taken.has(one) && this.#isNear(one));
      if (open.length === 0) continue;
      const elite = open[towardsFirst(this.#workshop.random, open.length)];
      if (elite !== undefined) taken.add(elite);
    }
    return [...taken];
  }

  /** Adds what was evaluated since the last time to the niches' fronts. */
  #sortIn(): void {
    const { all } = this.#workshop.archive;
    const fresh = all.slice(this.#looked).filter((one) => this.#isNear(one));
    this.#looked = all.length;
    for (const niche of this.#niches) {
      const own = fresh.filter(
        ({ genome, accuracy, latencyMs }) =>
          genome[niche.gene] === niche.value && accuracy > (bestUnder(niche.front, latencyMs)?.accuracy ?? 0),
      );
      if (own.length > 0) niche.front = frontOf([...niche.front, ...own]);
    }
  }

  #isNear({ accuracy, latencyMs }: Evaluated): boolean {
    return accuracy > this.#workshop.archive.accuracyAt(latencyMs) - SLACK;
  }
}

function nichesOf({ settings, stages, depths }: Landscape): Niche[] {
  const ofSettings = [...settings.keys()].map((value) => ({ gene: 0, value, front: [] }));
  const ofStages = Array.from({ length: stages }, (_, stage) =>
    depths.map((value) => ({ gene: 1 + stage, value, front: [] })),
  );
  return [...ofSettings, ...ofStages.flat()];
}

/** An index, the lower the more likely: shapes differ most among the fastest networks, and those are the fewest. */
function towardsFirst(random: Random, count: number): number {
  return Math.min(random.below(count), random.below(count));
}

/** Fisher and Yates 1938. */
function shuffled<T>(values: readonly T[], random: Random): T[] {
  const left = [...values];
  return values.map(() => left.splice(random.below(left.length), 1)[0] as T);
}
