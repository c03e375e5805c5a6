import { AppError } from '../../shared/errors.ts';
import type { Architecture } from '../ofa/architecture.ts';
import { blocksPerStage, type SearchSpace } from '../ofa/space.ts';
import { correctionOf, type LatencyOptions, type LatencyTable, layerKeys, layerMs } from './table.ts';

/** The values that are looked up; a subset of the space's. */
export interface CompiledChoices {
  readonly ks: readonly number[];
  readonly e: readonly number[];
  readonly d: readonly number[];
  readonly r: readonly number[];
}

/**
 * A latency table made ready for one space: a network's latency is `baseMs` of its resolution and one
 * number of `blockMs` for each block that runs. The table's correction is in the numbers already.
 */
export interface CompiledLatency {
  /** For each resolution of the choices: the layers that every network has. */
  readonly baseMs: Float64Array;
  /** [resolution][block][kernel][ratio], by index in the choices; NaN for blocks that never run. */
  readonly blockMs: Float64Array;
  readonly blocks: number;
}

/** Layers before the first block that may differ: stem and fixed block. */
const FIXED_BEFORE = 2;

/** All numbers of a compiled table: far more than any space that can be searched has. */
const MAX_ENTRIES = 4_000_000;

/**
 * Looks up every layer that networks of these choices can have.
 * @throws AppError `invalid` naming the first resolution or layer that the table does not have, and
 * for choices of more different blocks than a search can hold
 */
export function compileLatency(
  table: LatencyTable,
  space: SearchSpace,
  choices: CompiledChoices,
  options: LatencyOptions = {},
): CompiledLatency {
  const blocks = space.stages.length * blocksPerStage(space);
  const shape = { blocks, kernels: choices.ks.length, ratios: choices.e.length };
  const size = choices.r.length * blocks * shape.kernels * shape.ratios;
  if (size > MAX_ENTRIES)
    throw new AppError('invalid', `search space: ${size} different blocks are too many`);
  const compiled = {
    baseMs: new Float64Array(choices.r.length),
    blockMs: new Float64Array(size).fill(Number.NaN),
    blocks,
  };
  const { offsetMs, scale } = correctionOf(table, options);
  const deepest = Math.max(...choices.d);
  for (const [ri, r] of choices.r.entries()) {
    for (const [ki, kernel] of choices.ks.entries()) {
      for (const [ei, ratio] of choices.e.entries()) {
        const times = uniformTimes(table, space, { kernel, ratio, depth: deepest, r });
        compiled.baseMs[ri] = offsetMs + scale * times.baseMs;
        for (const { block, ms } of times.blocks) {
          compiled.blockMs[((ri * blocks + block) * shape.kernels + ki) * shape.ratios + ei] = scale * ms;
        }
      }
    }
  }
  return compiled;
}

interface Uniform {
  readonly kernel: number;
  readonly ratio: number;
  readonly depth: number;
  readonly r: number;
}

/** A block's size does not depend on the others' kernels and ratios: uniform networks have every layer. */
function uniformTimes(table: LatencyTable, space: SearchSpace, { kernel, ratio, depth, r }: Uniform) {
  const perStage = blocksPerStage(space);
  const each = (value: number, count: number): number[] => Array.from({ length: count }, () => value);
  const blocks = space.stages.length * perStage;
  const architecture: Architecture = {
    ks: each(kernel, blocks),
    e: each(ratio, blocks),
    d: each(depth, space.stages.length),
    r,
  };
  const times = layerKeys(space, architecture).map((key) => layerMs(table, r, key));
  const running = space.stages.length * depth;
  const inBlocks = times.slice(FIXED_BEFORE, FIXED_BEFORE + running);
  const fixed = [...times.slice(0, FIXED_BEFORE), ...times.slice(FIXED_BEFORE + running)];
  return {
    baseMs: fixed.reduce((sum, ms) => sum + ms, 0),
    blocks: inBlocks.map((ms, index) => ({
      block: Math.floor(index / depth) * perStage + (index % depth),
      ms,
    })),
  };
}
