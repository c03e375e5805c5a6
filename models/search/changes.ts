import type { Evaluated } from './archive.ts';
import { canonicalise, choiceOf, type Genome, type Landscape, latencyOf } from './genome.ts';
import type { Weights } from './knapsack.ts';

/** One gene changed; where a stage gets deeper, its new blocks too. */
export type Change =
  | { readonly kind: 'setting'; readonly setting: number }
  | { readonly kind: 'choice'; readonly block: number; readonly choice: number }
  | { readonly kind: 'deeper'; readonly stage: number; readonly depth: number; readonly choice: number }
  | { readonly kind: 'shallower'; readonly stage: number; readonly depth: number };

/** A network, and the change of another one that gives it. */
export interface Neighbour {
  readonly change: Change;
  readonly genome: Genome;
}

/** A change of a network, and what is known of the network that it gives. */
export interface Tried {
  readonly change: Change;
  readonly result: Evaluated;
}

/** Accuracy by which the linear model of the whole space errs. */
const HOPELESS = 2e-3;

/** Says which single changes of networks are worth looking at. */
export class Neighbourhood {
  readonly #landscape: Landscape;
  readonly #guide: Weights;
  /** [setting][block]: choices than which no other is both faster and, by the guide, clearly better. */
  readonly #sensible = new Map<number, readonly (readonly number[])[]>();

  constructor(landscape: Landscape, guide: Weights) {
    this.#landscape = landscape;
    this.#guide = guide;
  }

  /** The single changes of a network that may be of use. */
  of(genome: Genome): Neighbour[] {
    const { stages } = this.#landscape;
    const changes = this.#settings(genome);
    const sensible = this.#sensibleOf(genome[0] ?? 0);
    for (let stage = 0; stage < stages; stage += 1) {
      changes.push(...this.#depths(genome, stage, sensible), ...this.#choices(genome, stage, sensible));
    }
    return changes.map((change) => ({ change, genome: changed(this.#landscape, genome, change) }));
  }

  /** Settings than which no other makes the network both faster and better. */
  #settings(genome: Genome): Change[] {
    const { settings } = this.#guide;
    const moved: Genome = genome.slice();
    const all = Array.from(settings, (worth, setting) => {
      moved[0] = setting;
      return { setting, worth, ms: latencyOf(this.#landscape, moved) };
    });
    return all
      .filter((one) => one.setting !== genome[0])
      .filter((one) => !all.some(({ worth, ms }) => ms < one.ms && worth >= one.worth))
      .map(({ setting }) => ({ kind: 'setting', setting }));
  }

  #depths(genome: Genome, stage: number, sensible: readonly (readonly number[])[]): Change[] {
    const { depths, perStage } = this.#landscape;
    const depth = genome[1 + stage] ?? 0;
    const index = depths.indexOf(depth);
    const [less, more] = [depths[index - 1], depths[index + 1]];
    const choices = sensible[stage * perStage + depth] ?? [];
    const deeper: Change[] =
      more === undefined ? [] : choices.map((choice) => ({ kind: 'deeper', stage, depth: more, choice }));
    return less === undefined ? deeper : [...deeper, { kind: 'shallower', stage, depth: less }];
  }

  #choices(genome: Genome, stage: number, sensible: readonly (readonly number[])[]): Change[] {
    const first = stage * this.#landscape.perStage;
    return Array.from({ length: genome[1 + stage] ?? 0 }, (_, index) => first + index).flatMap((block) => {
      const now = choiceOf(this.#landscape, genome, block);
      return (sensible[block] ?? [])
        .filter((choice) => choice !== now)
        .map((choice): Change => ({ kind: 'choice', block, choice }));
    });
  }

  #sensibleOf(setting: number): readonly (readonly number[])[] {
    const known = this.#sensible.get(setting);
    if (known !== undefined) return known;
    const { blocks, choices, blockMs } = this.#landscape;
    const made = Array.from({ length: blocks }, (_, block) => {
      const ms = (choice: number): number =>
        blockMs[(setting * blocks + block) * choices.length + choice] ?? 0;
      const worth = (choice: number): number => this.#guide.blocks[block * choices.length + choice] ?? 0;
      const all = [...choices.keys()];
      return all.filter(
        (choice) => !all.some((other) => ms(other) <= ms(choice) && worth(other) > worth(choice) + HOPELESS),
      );
    });
    this.#sensible.set(setting, made);
    return made;
  }
}

/** The network with the change made. */
export function changed(landscape: Landscape, genome: Genome, change: Change): Genome {
  const copy: Genome = genome.slice();
  apply(landscape, copy, change);
  return copy;
}

/** Makes the change in place. */
export function apply(landscape: Landscape, genome: Genome, change: Change): void {
  const { stages, perStage } = landscape;
  switch (change.kind) {
    case 'setting':
      genome[0] = change.setting;
      return;
    case 'choice':
      genome[1 + stages + change.block] = change.choice;
      return;
    case 'shallower':
      genome[1 + change.stage] = change.depth;
      canonicalise(landscape, genome);
      return;
    case 'deeper': {
      const first = 1 + stages + change.stage * perStage;
      genome.fill(change.choice, first + (genome[1 + change.stage] ?? 0), first + change.depth);
      genome[1 + change.stage] = change.depth;
      return;
    }
  }
}
