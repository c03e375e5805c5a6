import type { Archive, Evaluated } from './archive.ts';
import { apply, type Change, type Tried } from './changes.ts';
import type { Genome, Landscape } from './genome.ts';

/** Combinations of each size that are kept. */
const BEAM = 20;
/** Changes of the largest combination. */
const LARGEST = 5;
/** Combinations foretold to lie further below the front are not kept. */
const SLACK = 1e-3;

/** Of a number that is used as a set of blocks. */
const BITS = 31;

/** A change of known effect; `genes` are those that it touches, as bits. */
interface Item {
  readonly change: Change;
  readonly genes: number;
  readonly gain: number;
  readonly ms: number;
}

interface Combination {
  readonly last: number;
  readonly before: Combination | undefined;
  readonly genes: number;
  readonly accuracy: number;
  readonly ms: number;
  readonly gap: number;
}

/**
 * Combinations of few changes of an elite, by beam search: accuracy is foretold as the sum of what the changes
 * do alone, latency is exact.
 */
export function fewChanges(
  landscape: Landscape,
  archive: Archive,
  elite: Evaluated,
  around: readonly Tried[],
): Genome[] {
  const items = itemsOf(landscape, elite, around);
  let beam: Combination[] = [
    { last: -1, before: undefined, genes: 0, accuracy: elite.accuracy, ms: elite.latencyMs, gap: 0 },
  ];
  const genomes: Genome[] = [];
  for (let size = 1; size <= LARGEST; size += 1) {
    beam = extended(archive, items, beam, size === 1 ? Number.POSITIVE_INFINITY : BEAM, size);
    if (size > 1) genomes.push(...beam.map((one) => made(landscape, elite.genome, items, one)));
  }
  return genomes;
}

function itemsOf(landscape: Landscape, elite: Evaluated, around: readonly Tried[]): Item[] {
  const items: Item[] = [];
  for (const { change, result } of around) {
    if (change.kind === 'setting') continue;
    const gain = result.accuracy - elite.accuracy;
    const ms = result.latencyMs - elite.latencyMs;
    if (gain <= 0 && ms >= 0) continue;
    items.push({ change, genes: genesOf(landscape, change), gain, ms });
  }
  return items;
}

/**
 * Blocks that a change touches, a change of depth all of its stage's. Blocks of large spaces share bits: their
 * changes are then not combined.
 */
function genesOf({ perStage }: Landscape, change: Change): number {
  if (change.kind === 'setting') return 0;
  if (change.kind === 'choice') return 1 << (change.block % BITS);
  const blocks = Array.from({ length: perStage }, (_, depth) => change.stage * perStage + depth);
  return blocks.reduce((bits, block) => bits | (1 << (block % BITS)), 0);
}

function extended(
  archive: Archive,
  items: readonly Item[],
  beam: readonly Combination[],
  width: number,
  size: number,
): Combination[] {
  const next: Combination[] = [];
  for (const before of beam) {
    for (let last = before.last + 1; last < items.length; last += 1) {
      const item = items[last];
      if (item === undefined || (item.genes & before.genes) !== 0) continue;
      const accuracy = before.accuracy + item.gain;
      const ms = before.ms + item.ms;
      const gap = accuracy - archive.accuracyAt(ms);
      if (size > 1 && gap < -SLACK) continue;
      next.push({ last, before, genes: before.genes | item.genes, accuracy, ms, gap });
    }
  }
  return next.length <= width ? next : next.sort((a, b) => b.gap - a.gap).slice(0, width);
}

function made(
  landscape: Landscape,
  genome: Genome,
  items: readonly Item[],
  combination: Combination,
): Genome {
  const copy: Genome = genome.slice();
  for (let one: Combination | undefined = combination; one !== undefined; one = one.before) {
    const change = items[one.last]?.change;
    if (change !== undefined) apply(landscape, copy, change);
  }
  return copy;
}
