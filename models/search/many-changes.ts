import { pick } from '../../shared/random.ts';
import type { Evaluated } from './archive.ts';
import { type Change, changed, type Tried } from './changes.ts';
import { choiceOf, type Genome, type Landscape, latencyOf } from './genome.ts';
import type { Workshop } from './global-phase.ts';
import type { Weights } from './knapsack.ts';

/** Settings that combinations are made for: the most promising ones. */
const SETTINGS = 3;
/** Combinations of one elite that are evaluated. */
const COMBINATIONS = 20;
/** A combination is worth less than its changes together: so much less for each of them, one of these. */
const COSTS = [1e-4, 3e-4, 1e-3, 2e-3];
/** Combinations foretold to lie further below the front are not evaluated. */
const SLACK = 2e-3;
/** What a change is worth that nobody evaluated. */
const UNKNOWN = -1;

/** The networks that promise most by what an elite's single changes are worth. */
export function manyChanges(workshop: Workshop, elite: Evaluated, around: readonly Tried[]): Genome[] {
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
function worthOf({ landscape, random }: Workshop, elite: Evaluated, around: readonly Tried[]) {
  const cost = pick(random, COSTS);
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
  for (const { change, result } of inOrder) {
    if (result === elite) continue;
    constant += put(landscape, elite.genome, weights, change, result.accuracy - elite.accuracy - cost);
  }
  return { weights, constant };
}

function isShallower({ change }: Tried): boolean {
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
  const worth = difference;
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
