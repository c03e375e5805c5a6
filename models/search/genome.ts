import { AppError } from '../../shared/errors.ts';
import type { Precision } from '../../shared/family/manifest.ts';
import { type CompiledChoices, compileLatency } from '../latency/compiled.ts';
import type { LatencyOptions, LatencyTable } from '../latency/table.ts';
import { blocksPerStage, type SearchSpace } from '../ofa/space.ts';
import type { Candidate } from '../predictor/accuracy-predictor.ts';

/** Latency tables, one for each precision that may be chosen. */
export type LatencyTables = Readonly<Partial<Record<Precision, LatencyTable>>>;

/** Values to which a space is narrowed; what is left out stays as the space has it. */
export interface Restriction {
  readonly ks?: readonly number[];
  readonly e?: readonly number[];
  readonly d?: readonly number[];
  readonly r?: readonly number[];
}

/**
 * A candidate as the search has it: [setting, depth of each stage, choice of each block]. A setting is a
 * resolution and a precision, a choice is a kernel and a ratio, each by its index in the landscape; blocks
 * that do not run have choice 0, so that equal sub-networks have equal genomes.
 */
export type Genome = Uint16Array;

/** What is searched: the choices, and the latency of each in every setting. */
export interface Landscape {
  readonly settings: readonly { readonly r: number; readonly precision: Precision }[];
  readonly choices: readonly { readonly kernel: number; readonly ratio: number }[];
  /** Ascending. */
  readonly depths: readonly number[];
  readonly stages: number;
  /** Blocks of a stage that are stored. */
  readonly perStage: number;
  readonly blocks: number;
  /** [setting]: latency in ms of the layers that every network has. */
  readonly baseMs: Float64Array;
  /** [setting][block][choice]: latency of a block in ms. */
  readonly blockMs: Float64Array;
}

const PRECISIONS: readonly Precision[] = ['fp32', 'int8'];

/** The work of a search grows with the cube of this: a minute of solving at the most. */
const MAX_ALLELES = 2_000;

/**
 * Combines space, restriction and tables.
 * @throws AppError `usage` for values that the space does not have, `invalid` for what a table does
 * not have and for a space that is too large to be searched
 */
export function landscapeOf(
  space: SearchSpace,
  tables: LatencyTables,
  restriction: Restriction = {},
  options: LatencyOptions = {},
): Landscape {
  const values: CompiledChoices = {
    ks: narrowed('ks', space.kernelSizes, restriction.ks),
    e: narrowed('e', space.expandRatios, restriction.e),
    d: narrowed('d', space.depths, restriction.d),
    r: narrowed('r', space.resolutions, restriction.r),
  };
  const present = PRECISIONS.flatMap((precision) => {
    const table = tables[precision];
    return table === undefined ? [] : [{ precision, table }];
  });
  if (present.length === 0) throw new AppError('usage', 'search: there is no latency table');
  const perStage = blocksPerStage(space);
  const blocks = space.stages.length * perStage;
  const alleles = blocks * values.ks.length * values.e.length + values.r.length * present.length;
  if (alleles > MAX_ALLELES) {
    throw new AppError('invalid', `search space: has ${alleles} values to choose, more than ${MAX_ALLELES}`);
  }
  const compiled = present.map(({ table }) => compileLatency(table, space, values, options));
  return {
    settings: present.flatMap(({ precision }) => values.r.map((r) => ({ r, precision }))),
    choices: values.ks.flatMap((kernel) => values.e.map((ratio) => ({ kernel, ratio }))),
    depths: values.d,
    stages: space.stages.length,
    perStage,
    blocks,
    baseMs: joined(compiled.map(({ baseMs }) => baseMs)),
    blockMs: joined(compiled.map(({ blockMs }) => blockMs)),
  };
}

function narrowed(key: string, values: readonly number[], wanted: readonly number[] | undefined): number[] {
  const strange = wanted?.find((value) => !values.includes(value));
  if (strange !== undefined || wanted?.length === 0) {
    const found = strange === undefined ? 'no value' : strange;
    throw new AppError(
      'usage',
      `search: ${key} is narrowed to ${found}, but the space has ${values.join(', ')}`,
    );
  }
  return [...new Set(wanted ?? values)].sort((a, b) => a - b);
}

function joined(parts: readonly Float64Array[]): Float64Array {
  const whole = new Float64Array(parts.reduce((sum, { length }) => sum + length, 0));
  let offset = 0;
  for (const part of parts) {
    whole.set(part, offset);
    offset += part.length;
  }
  return whole;
}

/** Predicted latency in ms: base and each block that runs. */
export function latencyOf(landscape: Landscape, genome: Genome): number {
  const { stages, perStage, blocks, choices, baseMs, blockMs } = landscape;
  const setting = genome[0] ?? 0;
  let ms = baseMs[setting] ?? Number.NaN;
  for (let stage = 0; stage < stages; stage += 1) {
    const first = stage * perStage;
    const end = first + (genome[1 + stage] ?? 0);
    for (let block = first; block < end; block += 1) {
      ms += blockMs[(setting * blocks + block) * choices.length + choiceOf(landscape, genome, block)] ?? 0;
    }
  }
  return ms;
}

/** Choice of a block, by index. */
export function choiceOf({ stages }: Landscape, genome: Genome, block: number): number {
  return genome[1 + stages + block] ?? 0;
}

/** Sets the choices of blocks that do not run to 0, in place. */
export function canonicalise({ stages, perStage }: Landscape, genome: Genome): Genome {
  for (let stage = 0; stage < stages; stage += 1) {
    const first = 1 + stages + stage * perStage;
    genome.fill(0, first + (genome[1 + stage] ?? 0), first + perStage);
  }
  return genome;
}

/** The candidate that a genome stands for, in its canonical form. */
export function candidateOf(landscape: Landscape, genome: Genome): Candidate {
  const { settings, choices, stages } = landscape;
  const { r, precision } = settings[genome[0] ?? 0] ?? { r: Number.NaN, precision: 'fp32' };
  const ks: number[] = [];
  const e: number[] = [];
  for (let place = 1 + stages; place < genome.length; place += 1) {
    const choice = choices[genome[place] ?? 0];
    ks.push(choice?.kernel ?? Number.NaN);
    e.push(choice?.ratio ?? Number.NaN);
  }
  return { architecture: { ks, e, d: Array.from(genome.subarray(1, 1 + stages)), r }, precision };
}
