import { type Cholesky, choleskyOf, solveLower, solveUpper } from '../../shared/cholesky.ts';
import type { Random } from '../../shared/random.ts';
import type { Archive, Evaluated } from './archive.ts';
import { choiceOf, type Genome, type Landscape } from './genome.ts';
import type { Weights } from './knapsack.ts';

/** An accuracy that lies this far below the front counts e times less. */
const NEARNESS = 0.01;
const SMALLEST_SHARE = 1e-3;
/** Accuracies are taken from here: differences are what counts. */
const ORIGIN = 0.8;
const RIDGE = 0.01;

/**
 * A Bayesian linear model of accuracy, a sum of what the setting and each running block's choice are worth,
 * fitted to what was evaluated, mostly to what lies near the front.
 */
export interface Surrogate {
  readonly mean: Weights;
  /** Weights drawn from what the data leave possible (Thompson 1933): explores where little is known. */
  draw(random: Random): Weights;
}

/** Fits the model by weighted ridge regression. */
export function fitSurrogate(landscape: Landscape, archive: Archive): Surrogate {
  const size = landscape.settings.length + landscape.blocks * landscape.choices.length + 1;
  const gram = new Float64Array(size * size);
  const target = new Float64Array(size);
  const used: { one: Evaluated; share: number }[] = [];
  for (const one of archive.all) {
    const gap = one.accuracy - archive.accuracyAt(one.latencyMs);
    const share = Math.exp(Math.min(0, gap) / NEARNESS);
    if (share < SMALLEST_SHARE) continue;
    used.push({ one, share });
    addSample(allelesOf(landscape, one.genome), one.accuracy - ORIGIN, share, { gram, target, size });
  }
  for (let index = 0; index < size; index += 1) {
    const diagonal = index * size + index;
    gram[diagonal] = (gram[diagonal] ?? 0) + RIDGE;
  }
  const cholesky = choleskyOf(gram, size);
  const mean = solveUpper(cholesky, solveLower(cholesky, target));
  const noise = noiseOf(landscape, used, mean);
  return {
    mean: weightsOf(landscape, mean),
    draw: (random) => weightsOf(landscape, drawn(mean, cholesky, noise, random)),
  };
}

/** Indices of the features that are 1: setting, choices of the blocks that run, and the constant. */
function allelesOf(landscape: Landscape, genome: Genome): number[] {
  const { settings, stages, perStage, blocks, choices } = landscape;
  const alleles = [genome[0] ?? 0];
  for (let stage = 0; stage < stages; stage += 1) {
    const first = stage * perStage;
    for (let block = first; block < first + (genome[1 + stage] ?? 0); block += 1) {
      alleles.push(settings.length + block * choices.length + choiceOf(landscape, genome, block));
    }
  }
  alleles.push(settings.length + blocks * choices.length);
  return alleles;
}

function addSample(
  alleles: readonly number[],
  value: number,
  share: number,
  { gram, target, size }: { gram: Float64Array; target: Float64Array; size: number },
): void {
  for (const row of alleles) {
    target[row] = (target[row] ?? 0) + share * value;
    for (const column of alleles) gram[row * size + column] = (gram[row * size + column] ?? 0) + share;
  }
}

/** Standard deviation of what the model leaves unexplained. */
function noiseOf(
  landscape: Landscape,
  used: readonly { readonly one: Evaluated; readonly share: number }[],
  mean: Float64Array,
): number {
  let squares = 0;
  let shares = 0;
  for (const { one, share } of used) {
    const alleles = allelesOf(landscape, one.genome);
    const fitted = alleles.reduce((sum, allele) => sum + (mean[allele] ?? 0), ORIGIN);
    squares += share * (one.accuracy - fitted) ** 2;
    shares += share;
  }
  return shares > 0 ? Math.sqrt(squares / shares) : 0;
}

function drawn(mean: Float64Array, cholesky: Cholesky, noise: number, random: Random): Float64Array {
  const steps = solveUpper(
    cholesky,
    mean.map(() => noise * random.normal()),
  );
  return mean.map((value, index) => value + (steps[index] ?? 0));
}

function weightsOf({ settings, blocks, choices }: Landscape, values: Float64Array): Weights {
  const firstBlock = settings.length;
  return {
    settings: values.slice(0, firstBlock),
    blocks: values.slice(firstBlock, firstBlock + blocks * choices.length),
  };
}
