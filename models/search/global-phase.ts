import { pick, type Random } from '../../shared/random.ts';
import type { Archive } from './archive.ts';
import { canonicalise, type Genome, type Landscape } from './genome.ts';
import type { Knapsack, Packed, Weights } from './knapsack.ts';
import { fitSurrogate } from './surrogate.ts';

const RANDOM_GENOMES = 1_500;
const RANDOM_WEIGHTS = 4;
const ROUNDS = 4;
const DRAWS = 20;
/** Latencies of the front that are told apart when the settings compete for a draw's best. */
const BINS = 200;

/** What both phases work with. */
export interface Workshop {
  readonly landscape: Landscape;
  readonly archive: Archive;
  readonly knapsack: Knapsack;
  readonly random: Random;
  readonly limitMs: number;
}

/**
 * Looks over the whole space: random genomes first, then rounds of fitting a linear model to all results,
 * drawing weights from it, and evaluating the best network of every latency by those weights.
 */
export async function searchGlobally(workshop: Workshop): Promise<void> {
  const { landscape, archive, random } = workshop;
  await archive.evaluate(startingGenomes(workshop));
  for (let round = 0; round < ROUNDS && archive.remaining > 0; round += 1) {
    const surrogate = fitSurrogate(landscape, archive);
    const genomes = bestOfEach(workshop, surrogate.mean);
    for (let draw = 1; draw < DRAWS; draw += 1) genomes.push(...bestOfEach(workshop, surrogate.draw(random)));
    await archive.evaluate(genomes);
  }
}

/** The best networks by random weights, so that the fastest are among them, and random ones. */
function* startingGenomes(workshop: Workshop): Generator<Genome> {
  const { landscape, random } = workshop;
  const { settings, blocks, choices } = landscape;
  for (let draw = 0; draw < RANDOM_WEIGHTS; draw += 1) {
    yield* bestOfEach(workshop, {
      settings: new Float64Array(settings.length).map(() => random.normal()),
      blocks: new Float64Array(blocks * choices.length).map(() => random.normal()),
    });
  }
  for (let count = 0; count < RANDOM_GENOMES; count += 1) yield randomGenome(landscape, random);
}

function randomGenome(landscape: Landscape, random: Random): Genome {
  const { settings, stages, blocks, choices, depths } = landscape;
  const genome: Genome = new Uint16Array(1 + stages + blocks);
  genome[0] = random.below(settings.length);
  for (let stage = 0; stage < stages; stage += 1) genome[1 + stage] = pick(random, depths);
  for (let place = 1 + stages; place < genome.length; place += 1) {
    genome[place] = random.below(choices.length);
  }
  return canonicalise(landscape, genome);
}

/** The front of the networks by these weights, one of about each latency. */
function bestOfEach({ landscape, knapsack, archive, limitMs }: Workshop, weights: Weights): Genome[] {
  const best = new Map<number, Packed>();
  const fastest = knapsack.fastestMs;
  const slowest = archive.front.at(-1)?.latencyMs ?? 2 * fastest;
  const binsPerMs = slowest > fastest ? BINS / (slowest - fastest) : 1;
  const binOf = (ms: number): number => Math.floor((ms - fastest) * binsPerMs);
  for (let setting = 0; setting < landscape.settings.length; setting += 1) {
    const packed = knapsack.solve(
      setting,
      weights,
      limitMs,
      (value, ms) => value > (best.get(binOf(ms))?.value ?? Number.NEGATIVE_INFINITY),
    );
    for (const one of packed) {
      const bin = binOf(one.ms);
      if (one.value > (best.get(bin)?.value ?? Number.NEGATIVE_INFINITY)) best.set(bin, one);
    }
  }
  let highest = Number.NEGATIVE_INFINITY;
  const rising = [...best]
    .sort(([a], [b]) => a - b)
    .filter(([, { value }]) => {
      const rises = value > highest;
      highest = Math.max(highest, value);
      return rises;
    });
  return rising.map(([, { genome }]) => genome);
}
