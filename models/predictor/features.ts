import { blocksPerStage, type SearchSpace } from '../ofa/space.ts';
import type { Candidate } from './accuracy-predictor.ts';

/** One number that a fitted predictor knows of a candidate. */
export interface Feature {
  readonly name: string;
  readonly of: (candidate: Candidate) => number;
}

/**
 * Single blocks matter less than what a whole stage has: their features are smaller, so that the penalty on
 * weights lets few samples speak about stages first.
 */
const DETAIL = 0.3;

/** The features of a space's candidates: of whole stages, of each block that runs, of resolution and precision. */
export function featuresOf(space: SearchSpace): Feature[] {
  const perStage = blocksPerStage(space);
  const stages = [...space.stages.keys()];
  return [
    ...networkFeatures(space),
    ...stages.flatMap((stage) => stageFeatures(space, stage)),
    ...space.resolutions.map((r) => detail(`r${r}`, ({ architecture }) => architecture.r === r)),
    ...stages.flatMap((stage) =>
      space.depths.map((depth) =>
        detail(`stage${stage}.d${depth}`, ({ architecture }) => architecture.d[stage] === depth),
      ),
    ),
    ...stages.flatMap((stage) =>
      Array.from({ length: perStage }, (_, depth) => blockFeatures(space, stage, depth)).flat(),
    ),
  ];
}

function networkFeatures(space: SearchSpace): Feature[] {
  const r = ({ architecture }: Candidate): number => placeIn(space.resolutions, architecture.r);
  const most = space.stages.length * blocksPerStage(space);
  const depth = ({ architecture }: Candidate): number =>
    architecture.d.reduce((sum, blocks) => sum + blocks, 0) / most;
  const int8 = ({ precision }: Candidate): number => Number(precision === 'int8');
  return [
    { name: 'r', of: r },
    { name: 'r^2', of: (candidate) => r(candidate) ** 2 },
    { name: 'depth*r', of: (candidate) => depth(candidate) * r(candidate) },
    { name: 'int8', of: int8 },
    { name: 'int8*r', of: (candidate) => int8(candidate) * r(candidate) },
    { name: 'int8*depth', of: (candidate) => int8(candidate) * depth(candidate) },
  ];
}

/** Depth, and the mean kernel and ratio of the blocks that run. */
function stageFeatures(space: SearchSpace, stage: number): Feature[] {
  const first = stage * blocksPerStage(space);
  const mean = (values: readonly number[], depth: number, choices: readonly number[]): number => {
    const running = values.slice(first, first + depth);
    return running.reduce((sum, value) => sum + placeIn(choices, value), 0) / Math.max(1, running.length);
  };
  const name = `stage${stage}`;
  return [
    { name: `${name}.depth`, of: ({ architecture }) => placeIn(space.depths, architecture.d[stage] ?? 0) },
    {
      name: `${name}.kernel`,
      of: ({ architecture: { ks, d } }) => mean(ks, d[stage] ?? 0, space.kernelSizes),
    },
    {
      name: `${name}.ratio`,
      of: ({ architecture: { e, d } }) => mean(e, d[stage] ?? 0, space.expandRatios),
    },
  ];
}

function blockFeatures(space: SearchSpace, stage: number, depth: number): Feature[] {
  const block = stage * blocksPerStage(space) + depth;
  const runs = ({ architecture }: Candidate): boolean => depth < (architecture.d[stage] ?? 0);
  return [
    ...space.kernelSizes.map((kernel) =>
      detail(`block${block}.k${kernel}`, (one) => runs(one) && one.architecture.ks[block] === kernel),
    ),
    ...space.expandRatios.map((ratio) =>
      detail(`block${block}.e${ratio}`, (one) => runs(one) && one.architecture.e[block] === ratio),
    ),
  ];
}

function detail(name: string, holds: (candidate: Candidate) => boolean): Feature {
  return { name, of: (candidate) => (holds(candidate) ? DETAIL : 0) };
}

/** Where a value lies between the least and the largest choice: -0.5 to 0.5, 0 where there is only one. */
function placeIn(choices: readonly number[], value: number): number {
  const [least, most] = [Math.min(...choices), Math.max(...choices)];
  return most > least ? (value - least) / (most - least) - 0.5 : 0;
}
