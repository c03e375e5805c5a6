import type { Evaluated } from './archive.ts';
import { canonicalise, choiceOf, type Genome, keyOf, type Landscape, latencyOf } from './genome.ts';
import type { Workshop } from './global-phase.ts';
import type { Weights } from './knapsack.ts';
import { Niches } from './niches.ts';
import { pick } from './random.ts';
import { fitSurrogate } from './surrogate.ts';

/** Points of the front whose neighbours are looked at in one pass. */
const FRONT_ELITES = 7;
/** Settings that combinations of an elite's changes are made for: the most promising ones. */
const SETTINGS = 5;
/** Combinations of one elite that are evaluated in a pass. */
const COMBINATIONS = 150;
/** A combination is worth less than its changes together: so much less for each of them. */
const COST_OF_CHANGE = 3e-4;
/** Combinations foretold to lie further below the front are not evaluated. */
const SLACK = 2e-3;
/** By the linear model, which errs by about as much. */
const HOPELESS = 1e-3;
/** What a change is worth that nobody evaluated. */
const UNKNOWN = -1;

/** One gene changed; where a stage gets deeper, its new blocks too. */
type Change =
  | { readonly kind: 'setting'; readonly setting: number }
  | { readonly kind: 'choice'; readonly block: number; readonly choice: number }
  | { readonly kind: 'deeper'; readonly stage: number; readonly depth: number; readonly choice: number }
  | { readonly kind: 'shallower'; readonly stage: number; readonly depth: number };

/**
 * Improves the front until the evaluations are used up or no point of it has a neighbour left to look at:
 * evaluates every single change of some of its points, then the combinations of those changes that promise
 * most for any latency, found by the same knapsack with each change's own worth as weights.
 */
export async function searchLocally(workshop: Workshop): Promise<void> {
  const { archive } = workshop;
  const done = new Set<string>();
  const niches = new Niches(workshop);
  const guide = fitSurrogate(workshop.landscape, archive).mean;
  while (archive.remaining > 0) {
    const elites = elitesOf(workshop, done, niches);
    if (elites.length === 0) return;
    for (const { key } of elites) done.add(key);
    const looked = elites.map((elite) => ({
      elite,
      around: neighboursOf(workshop.landscape, elite.genome, guide),
    }));
    await archive.evaluate(looked.flatMap(({ around }) => around.map(({ genome }) => genome)));
    await archive.evaluate(looked.flatMap(({ elite, around }) => combinationsOf(workshop, elite, around)));
  }
}

/** Slices of the latencies, in equal ratios. */
const SLICES = 24;
let turn = 0;
/** Points whose neighbours are looked at next, spread over all latencies, and some of niches. */
function elitesOf(workshop: Workshop, done: ReadonlySet<string>, niches: Niches): Evaluated[] {
  const { archive, random } = workshop;
  const open = archive.front.filter(({ key }) => !done.has(key));
  const count = Math.min(Number(process.env.FE ?? 4), open.length);
  const elites = Array.from({ length: count }, (_, index) => {
    const from = Math.floor((index * open.length) / count);
    const to = Math.floor(((index + 1) * open.length) / count);
    return pick(random, open.slice(from, to));
  });
  const taken = new Map([...elites, ...niches.next(done)].map((one) => [one.key, one]));
  for (const one of sliceElites(workshop, done)) taken.set(one.key, one);
  return [...taken.values()];
}

function sliceElites({ archive, knapsack }: Workshop, done: ReadonlySet<string>): Evaluated[] {
  const lo = Math.log(knapsack.fastestMs);
  const hi = Math.log(archive.front.at(-1)?.latencyMs ?? 1) + 1e-9;
  const best = new Map<number, { one: Evaluated; gap: number }>();
  const wanted = new Set(Array.from({ length: Number(process.env.SE ?? 4) }, (_, i) => (turn + i * 6) % SLICES));
  turn += 1;
  for (const one of archive.all) {
    const slice = Math.min(SLICES - 1, Math.floor(((Math.log(one.latencyMs) - lo) / (hi - lo)) * SLICES));
    if (!wanted.has(slice) || done.has(one.key)) continue;
    const gap = one.accuracy - archive.accuracyAt(one.latencyMs);
    if (gap > (best.get(slice)?.gap ?? -5e-3)) best.set(slice, { one, gap });
  }
  return [...best.values()].map(({ one }) => one);
}

interface Neighbour {
  readonly change: Change;
  readonly genome: Genome;
}

/** The single changes of a network, without those that the linear model says are both slower and worse. */
function neighboursOf(landscape: Landscape, genome: Genome, guide: Weights): Neighbour[] {
  const changes: Change[] = [...landscape.settings.keys()].map((setting) => ({ kind: 'setting', setting }));
  for (let stage = 0; stage < landscape.stages; stage += 1) {
    changes.push(
      ...depthChanges(landscape, genome, stage),
      ...choiceChanges(landscape, genome, stage, guide),
    );
  }
  return changes.map((change) => ({ change, genome: changed(landscape, genome, change) }));
}

function depthChanges({ depths, choices }: Landscape, genome: Genome, stage: number): Change[] {
  const index = depths.indexOf(genome[1 + stage] ?? 0);
  const [less, more] = [depths[index - 1], depths[index + 1]];
  const deeper: Change[] =
    more === undefined
      ? []
      : [...choices.keys()].map((choice) => ({ kind: 'deeper', stage, depth: more, choice }));
  return less === undefined ? deeper : [...deeper, { kind: 'shallower', stage, depth: less }];
}

function choiceChanges(landscape: Landscape, genome: Genome, stage: number, guide: Weights): Change[] {
  const { choices, perStage, blocks, blockMs } = landscape;
  const first = stage * perStage;
  return Array.from({ length: genome[1 + stage] ?? 0 }, (_, index) => first + index).flatMap((block) => {
    const row = block * choices.length;
    const msRow = ((genome[0] ?? 0) * blocks + block) * choices.length;
    const now = choiceOf(landscape, genome, block);
    return [...choices.keys()]
      .filter((choice) => {
        const slower = (blockMs[msRow + choice] ?? 0) >= (blockMs[msRow + now] ?? 0);
        return !(slower && (guide.blocks[row + choice] ?? 0) < (guide.blocks[row + now] ?? 0) - HOPELESS);
      })
      .map((choice): Change => ({ kind: 'choice', block, choice }));
  });
}

function changed(landscape: Landscape, genome: Genome, change: Change): Genome {
  const { stages, perStage } = landscape;
  const copy: Genome = Uint16Array.from(genome);
  switch (change.kind) {
    case 'setting':
      copy[0] = change.setting;
      return copy;
    case 'choice':
      copy[1 + stages + change.block] = change.choice;
      return copy;
    case 'shallower':
      copy[1 + change.stage] = change.depth;
      return canonicalise(landscape, copy);
    case 'deeper': {
      const first = 1 + stages + change.stage * perStage;
      copy.fill(change.choice, first + (genome[1 + change.stage] ?? 0), first + change.depth);
      copy[1 + change.stage] = change.depth;
      return copy;
    }
  }
}

/** The networks that promise most by what an elite's single changes are worth. */
function combinationsOf(workshop: Workshop, elite: Evaluated, around: readonly Neighbour[]): Genome[] {
  const { landscape, archive, knapsack, limitMs } = workshop;
  const { weights, constant } = worthOf(workshop, elite, around);
  const base = elite.accuracy + constant;
  const gainOf = (value: number, ms: number): number => base + value - archive.accuracyAt(ms);
  const settings = settingsOf(
    landscape,
    elite,
    weights,
    (value, ms) => elite.accuracy + value - archive.accuracyAt(ms),
  );
  const found = settings.flatMap((setting) =>
    knapsack
      .solve(setting, weights, limitMs, (value, ms) => gainOf(value, ms) > -SLACK)
      .map(({ value, ms, genome }) => ({ genome, gain: gainOf(value, ms) })),
  );
  return found
    .sort((a, b) => b.gain - a.gain)
    .slice(0, COMBINATIONS)
    .map(({ genome }) => genome);
}

/** The settings in which the elite, otherwise unchanged, comes nearest to the front. */
function settingsOf(
  landscape: Landscape,
  { genome }: Evaluated,
  weights: Weights,
  gainOf: (value: number, ms: number) => number,
): number[] {
  const gains = Array.from(weights.settings, (value, setting) => {
    const moved = changed(landscape, genome, { kind: 'setting', setting });
    return { setting, gain: gainOf(value, latencyOf(landscape, moved)), known: value > UNKNOWN };
  });
  return gains
    .filter(({ known }) => known)
    .sort((a, b) => b.gain - a.gain)
    .slice(0, SETTINGS)
    .map(({ setting }) => setting);
}

/** The difference that each single change makes to an elite's accuracy, as weights of a knapsack. */
function worthOf({ landscape, archive }: Workshop, elite: Evaluated, around: readonly Neighbour[]) {
  const { stages, perStage, choices, settings, blocks } = landscape;
  const weights: Weights = {
    settings: new Float64Array(settings.length).fill(UNKNOWN),
    blocks: new Float64Array(blocks * choices.length).fill(UNKNOWN),
  };
  weights.settings[elite.genome[0] ?? 0] = 0;
  for (let stage = 0; stage < stages; stage += 1) {
    const first = stage * perStage;
    for (let block = first; block < first + (elite.genome[1 + stage] ?? 0); block += 1) {
      weights.blocks[block * choices.length + choiceOf(landscape, elite.genome, block)] = 0;
    }
  }
  let constant = 0;
  // What a stage loses with its last blocks is added to all their choices: those must be there before.
  const inOrder = around.toSorted((a, b) => Number(isShallower(a)) - Number(isShallower(b)));
  for (const { change, genome } of inOrder) {
    const found = archive.find(keyOf(genome));
    if (found === undefined || found.key === elite.key) continue;
    constant += put(landscape, elite.genome, weights, change, found.accuracy - elite.accuracy);
  }
  return { weights, constant };
}

function isShallower({ change }: Neighbour): boolean {
  return change.kind === 'shallower';
}

/** Writes down what a change is worth; returns what all networks without the blocks that it removes gain. */
function put(
  landscape: Landscape,
  genome: Genome,
  weights: Weights,
  change: Change,
  difference: number,
): number {
  const { perStage, choices } = landscape;
  const worth = difference - COST_OF_CHANGE;
  switch (change.kind) {
    case 'setting':
      weights.settings[change.setting] = worth;
      return 0;
    case 'choice':
      weights.blocks[change.block * choices.length + change.choice] = worth;
      return 0;
    case 'deeper': {
      const added = change.stage * perStage + (genome[1 + change.stage] ?? 0);
      const end = change.stage * perStage + change.depth;
      weights.blocks[added * choices.length + change.choice] = worth;
      weights.blocks.fill(0, (added + 1) * choices.length, end * choices.length);
      return 0;
    }
    case 'shallower': {
      const start = (change.stage * perStage + change.depth) * choices.length;
      for (let place = start; place < start + choices.length; place += 1) {
        weights.blocks[place] = (weights.blocks[place] ?? 0) - worth;
      }
      return worth;
    }
  }
}
