import type { Genome, Landscape } from './genome.ts';

/** Accuracy as a sum: what each setting, and each choice of a block that runs, is worth. */
export interface Weights {
  /** [setting] */
  readonly settings: Float64Array;
  /** [block][choice] */
  readonly blocks: Float64Array;
}

/** The best network of about one latency, by the weights. */
export interface Packed {
  readonly value: number;
  readonly ms: number;
  readonly genome: Genome;
}

/** Latencies that are told apart between the fastest and the slowest network of a setting. */
const BUCKETS = 192;

/** What a setting's knapsack is made of, once for all weights. */
interface Shelf {
  /** Latency of the fastest network. */
  readonly floorMs: number;
  /** Of one bucket; 0 where all networks take the same time. */
  readonly bucketsPerMs: number;
  /** [block][place]: choices from the fastest to the slowest, and what each takes more than the fastest one. */
  readonly order: Uint16Array;
  readonly extraMs: Float64Array;
  /** [block]: what the fastest choice takes where the block may also not run, else 0. */
  readonly entryMs: Float64Array;
}

/** Values of the states of one layer of blocks, by bucket: best value, and its exact latency. */
interface Layer {
  readonly value: Float64Array;
  readonly ms: Float64Array;
  /** Buckets in use: later ones have no state yet. */
  end: number;
}

/**
 * Solves multiple-choice knapsacks over a landscape by dynamic programming: for weights that add up, the best
 * choice of depths, kernels and ratios for every latency at once. States keep their exact latency, buckets
 * only decide which of them compete.
 */
export class Knapsack {
  readonly #landscape: Landscape;
  readonly #shelves: readonly Shelf[];
  readonly #layers: readonly Layer[];
  readonly #state: Layer = newLayer();
  readonly #fromBucket: Int16Array;
  readonly #choice: Uint16Array;
  readonly #depth: Uint16Array;

  constructor(landscape: Landscape) {
    this.#landscape = landscape;
    this.#shelves = landscape.settings.map((_, setting) => shelfOf(landscape, setting));
    this.#layers = Array.from({ length: landscape.perStage }, newLayer);
    this.#fromBucket = new Int16Array(landscape.blocks * BUCKETS);
    this.#choice = new Uint16Array(landscape.blocks * BUCKETS);
    this.#depth = new Uint16Array(landscape.stages * BUCKETS);
  }

  /** Latency in ms of the fastest network of all. */
  get fastestMs(): number {
    return Math.min(...this.#shelves.map(({ floorMs }) => floorMs));
  }

  /**
   * The best networks of one setting: ascending latency, ascending value, none above the limit.
   * @param keep says by value and latency which ones are wanted: making a genome costs more than finding it
   */
  solve(
    setting: number,
    weights: Weights,
    limitMs: number,
    keep: (value: number, ms: number) => boolean,
  ): Packed[] {
    const shelf = this.#shelves[setting];
    if (shelf === undefined) return [];
    this.#fill(shelf, weights.blocks);
    const worth = weights.settings[setting] ?? 0;
    const packed: Packed[] = [];
    let best = Number.NEGATIVE_INFINITY;
    for (let bucket = 0; bucket < BUCKETS; bucket += 1) {
      const found = this.#state.value[bucket] ?? Number.NEGATIVE_INFINITY;
      if (found <= best) continue;
      const ms = shelf.floorMs + (this.#state.ms[bucket] ?? 0);
      if (ms > limitMs) continue;
      best = found;
      if (keep(found + worth, ms))
        packed.push({ value: found + worth, ms, genome: this.#trace(setting, bucket) });
    }
    return packed;
  }

  #fill(shelf: Shelf, weights: Float64Array): void {
    const { stages, perStage, depths } = this.#landscape;
    const state = this.#state;
    state.value.fill(Number.NEGATIVE_INFINITY);
    state.value[0] = 0;
    state.ms[0] = 0;
    state.end = 1;
    const deepest = depths.at(-1) ?? 0;
    for (let stage = 0; stage < stages; stage += 1) {
      let before = state;
      for (let depth = 0; depth < deepest; depth += 1) {
        const layer = this.#layers[depth] ?? state;
        this.#step(shelf, weights, stage * perStage + depth, before, layer);
        before = layer;
      }
      this.#merge(stage);
    }
  }

  /** One more block: every state with every choice that is not both slower and worth less than another. */
  #step(shelf: Shelf, weights: Float64Array, block: number, before: Layer, after: Layer): void {
    after.value.fill(Number.NEGATIVE_INFINITY);
    after.end = 0;
    const count = this.#landscape.choices.length;
    const entryMs = shelf.entryMs[block] ?? 0;
    let bestWeight = Number.NEGATIVE_INFINITY;
    for (let place = block * count; place < (block + 1) * count; place += 1) {
      const choice = shelf.order[place] ?? 0;
      const weight = weights[block * count + choice] ?? 0;
      if (weight <= bestWeight) continue;
      bestWeight = weight;
      this.#add(shelf, { block, choice, weight, ms: entryMs + (shelf.extraMs[place] ?? 0) }, before, after);
    }
  }

  #add(
    { bucketsPerMs }: Shelf,
    { block, choice, weight, ms }: { block: number; choice: number; weight: number; ms: number },
    before: Layer,
    after: Layer,
  ): void {
    const row = block * BUCKETS;
    for (let bucket = 0; bucket < before.end; bucket += 1) {
      const value = (before.value[bucket] ?? 0) + weight;
      if (value === Number.NEGATIVE_INFINITY) continue;
      const total = (before.ms[bucket] ?? 0) + ms;
      // Rounding of sums may carry the slowest network over the last bucket's edge.
      const target = Math.min(BUCKETS - 1, Math.floor(total * bucketsPerMs));
      if (value <= (after.value[target] ?? 0)) continue;
      after.value[target] = value;
      after.ms[target] = total;
      if (target >= after.end) after.end = target + 1;
      this.#fromBucket[row + target] = bucket;
      this.#choice[row + target] = choice;
    }
  }

  /** The end of a stage: in each bucket the best of the depths. */
  #merge(stage: number): void {
    const state = this.#state;
    state.value.fill(Number.NEGATIVE_INFINITY);
    state.end = 0;
    for (const depth of this.#landscape.depths) {
      const layer = this.#layers[depth - 1] ?? state;
      state.end = Math.max(state.end, layer.end);
      for (let bucket = 0; bucket < layer.end; bucket += 1) {
        const value = layer.value[bucket] ?? 0;
        if (value <= (state.value[bucket] ?? 0)) continue;
        state.value[bucket] = value;
        state.ms[bucket] = layer.ms[bucket] ?? 0;
        this.#depth[stage * BUCKETS + bucket] = depth;
      }
    }
  }

  /** The choices that led to a bucket of the end. */
  #trace(setting: number, end: number): Genome {
    const { stages, perStage, blocks } = this.#landscape;
    const genome: Genome = new Uint16Array(1 + stages + blocks);
    genome[0] = setting;
    let bucket = end;
    for (let stage = stages - 1; stage >= 0; stage -= 1) {
      const depth = this.#depth[stage * BUCKETS + bucket] ?? 0;
      genome[1 + stage] = depth;
      for (let block = stage * perStage + depth - 1; block >= stage * perStage; block -= 1) {
        genome[1 + stages + block] = this.#choice[block * BUCKETS + bucket] ?? 0;
        bucket = this.#fromBucket[block * BUCKETS + bucket] ?? 0;
      }
    }
    return genome;
  }
}

function newLayer(): Layer {
  return { value: new Float64Array(BUCKETS), ms: new Float64Array(BUCKETS), end: 0 };
}

function shelfOf(landscape: Landscape, setting: number): Shelf {
  const { blocks, perStage, depths, choices, baseMs } = landscape;
  const order = new Uint16Array(blocks * choices.length);
  const extraMs = new Float64Array(blocks * choices.length);
  const entryMs = new Float64Array(blocks);
  let floorMs = baseMs[setting] ?? 0;
  let rangeMs = 0;
  for (let block = 0; block < blocks; block += 1) {
    if (block % perStage >= (depths.at(-1) ?? 0)) continue;
    const times = landscape.blockMs.subarray(
      (setting * blocks + block) * choices.length,
      (setting * blocks + block + 1) * choices.length,
    );
    const sorted = Array.from(times.keys()).sort((a, b) => (times[a] ?? 0) - (times[b] ?? 0));
    const fastest = times[sorted[0] ?? 0] ?? 0;
    order.set(sorted, block * choices.length);
    extraMs.set(
      sorted.map((choice) => (times[choice] ?? 0) - fastest),
      block * choices.length,
    );
    const always = block % perStage < (depths[0] ?? 0);
    if (always) floorMs += fastest;
    else entryMs[block] = fastest;
    rangeMs += (entryMs[block] ?? 0) + (extraMs[(block + 1) * choices.length - 1] ?? 0);
  }
  return { floorMs, bucketsPerMs: rangeMs > 0 ? (BUCKETS - 1) / rangeMs : 0, order, extraMs, entryMs };
}
