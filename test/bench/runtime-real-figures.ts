import type { Profile } from '../../agent/runtime/points.ts';
import type { Trace } from '../../agent/simulate/trace.ts';
import { mean, median } from '../../shared/statistics.ts';
import { type Figure, judged } from './report.ts';
import { type Estimate, estimate, pairedDifference } from './runtime-real-interval.ts';

/** What became of one frame. */
export interface Outcome {
  readonly met: boolean;
  /** Accuracy that was delivered: 0 when late or shed. */
  readonly goodput: number;
  readonly point: number | undefined;
}

/** One run of the script. */
export interface Repeat {
  readonly trace: Trace;
  /** The policy, run live several times at once. */
  readonly live: readonly (readonly Outcome[])[];
  readonly replayed: readonly Outcome[];
  /** What loads the CPU in each frame. */
  readonly phases: readonly string[];
}

export interface RealRunResult {
  readonly repeats: readonly Repeat[];
  readonly profile: Profile;
  readonly budgetMs: number;
}

/** By repeat: mean delivered accuracy and share of misses. */
interface Series {
  readonly goodput: readonly number[];
  readonly miss: readonly number[];
}

/** Figures of the real run, each a mean over the repeats with the half width of its 95 % interval beside it. */
export function realFigures(result: RealRunResult): Figure[] {
  const { repeats, profile, budgetMs } = result;
  const live = seriesOf(repeats.map((repeat) => repeat.live[0] ?? []));
  const twin = seriesOf(repeats.map((repeat) => repeat.live[1] ?? []));
  const replayed = seriesOf(repeats.map((repeat) => repeat.replayed));
  const statics = profile.map((_, level) => ({
    level,
    ...seriesOf(repeats.map(({ trace }) => staticOutcomes(trace, level, result))),
  }));
  const best = statics.reduce((a, b) => (estimate(b.goodput).mean > estimate(a.goodput).mean ? b : a));
  return [
    ...againstItself(live, twin, repeats.flatMap(({ replayed: frames }) => frames).length),
    { name: 'real.budget_ms', value: budgetMs, unit: 'ms', better: 'lower' },
    ...slowdowns(result),
    ...policyFigures('ours_live', live),
    ...policyFigures('ours_replay', replayed),
    ...statics.flatMap((series) => policyFigures(`static_${series.level}`, series)),
    ...agreement(live, replayed),
    { name: 'real.best_static_level', value: best.level, unit: 'level', better: 'higher' },
    ...gainOver(live, best),
  ];
}

function seriesOf(runs: readonly (readonly Outcome[])[]): Series {
  return {
    goodput: runs.map((outcomes) => mean(outcomes.map(({ goodput }) => goodput))),
    miss: runs.map((outcomes) => mean(outcomes.map(({ met }) => (met ? 0 : 1)))),
  };
}

/** A level that is never left: what its own turns in the frames were. */
function staticOutcomes(trace: Trace, level: number, { profile, budgetMs }: RealRunResult): Outcome[] {
  const accuracy = profile[level]?.accuracy ?? 0;
  return trace.latencyMs.map((row) => {
    const met = (row[level] ?? Number.POSITIVE_INFINITY) <= budgetMs;
    return { met, goodput: met ? accuracy : 0, point: level };
  });
}

function policyFigures(name: string, { goodput, miss }: Series): Figure[] {
  return [
    ...withInterval(`real.${name}.goodput`, estimate(goodput), 'higher'),
    ...withInterval(`real.${name}.miss`, estimate(miss), 'lower'),
  ];
}

function withInterval(name: string, { mean, half95 }: Estimate, better: 'lower' | 'higher'): Figure[] {
  return [
    { name, value: mean, unit: 'fraction', better },
    { name: `${name}_ci95`, value: half95, unit: '+-fraction', better: 'lower' },
  ];
}

/**
 * Two runs of the same policy at once differ by chance only: once in a hundred times by more than the bar,
 * which is not less than one frame.
 */
function againstItself(live: Series, twin: Series, frames: number): Figure[] {
  return (['goodput', 'miss'] as const).map((what) => {
    const { mean, half99 } = pairedDifference(live[what], twin[what]);
    return gap(`real.aa_${what}_gap`, mean, Math.max(half99, 1 / frames));
  });
}

/** The replay lies within the interval of what was lived. */
function agreement(live: Series, replayed: Series): Figure[] {
  return (['goodput', 'miss'] as const).map((what) => {
    const { mean } = pairedDifference(live[what], replayed[what]);
    return gap(`real.replay_${what}_gap`, mean, estimate(live[what]).half95);
  });
}

function gap(name: string, difference: number, bar: number): Figure {
  return judged({ name, value: Math.abs(difference), unit: 'fraction', better: 'lower', bar });
}

/** Not below the best static level, which is chosen in hindsight: not by more than the interval. */
function gainOver(live: Series, best: Series): Figure[] {
  const { mean, half95 } = pairedDifference(live.goodput, best.goodput);
  return [
    judged({
      name: 'real.gain_over_best_static',
      value: mean,
      unit: 'fraction',
      better: 'higher',
      bar: -half95,
    }),
    { name: 'real.gain_over_best_static_ci95', value: half95, unit: '+-fraction', better: 'lower' },
  ];
}

/** What the script came to: median latency as a multiple of the profile, over all levels, by phase. */
function slowdowns({ repeats, profile }: RealRunResult): Figure[] {
  const byPhase = new Map<string, number[]>();
  for (const { trace, phases } of repeats) {
    for (const [frame, row] of trace.latencyMs.entries()) {
      const ratios = row.map((latencyMs, level) => latencyMs / (profile[level]?.latencyMs ?? Number.NaN));
      const ofPhase = byPhase.get(phases[frame] ?? '') ?? [];
      ofPhase.push(median(ratios));
      byPhase.set(phases[frame] ?? '', ofPhase);
    }
  }
  return [...byPhase].map(([phase, ratios]) => ({
    name: `real.slowdown_${phase}`,
    value: median(ratios),
    unit: 'ratio',
    better: 'lower',
  }));
}
