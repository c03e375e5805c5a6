import { bootstrapMean } from '../../agent/simulate/bootstrap.ts';
import { type FigureOfRun, FURTHER_FIGURES, MAIN_FIGURES } from '../../agent/simulate/figures.ts';
import { seededRandom } from '../../shared/random.ts';
import { median } from '../../shared/statistics.ts';
import type { Figure } from './report.ts';
import { BOOTSTRAP_SEED, barOf, OURS } from './runtime-simulation-bars.ts';
import type { Runs } from './runtime-simulation-runs.ts';

/** `<table>.<scenario>.<policy>.<figure>`, means over the seeds with intervals; of ours all figures there are. */
export function figuresOf(runs: readonly Runs[]): Figure[] {
  return runs.flatMap((each) => {
    const wanted = each.policy === OURS ? [...MAIN_FIGURES, ...FURTHER_FIGURES] : MAIN_FIGURES;
    return wanted.flatMap((figure) => figureOf(each, figure, runs));
  });
}

function figureOf(each: Runs, { name, unit, better, of }: FigureOfRun, runs: readonly Runs[]): Figure[] {
  const { mean, low, high } = bootstrapMean(each.metrics.map(of), seededRandom(BOOTSTRAP_SEED));
  if (Number.isNaN(mean)) return [];
  const figure = { name: `${each.table}.${each.scenario}.${each.policy}.${name}`, value: mean, unit, better };
  const bar = each.policy === OURS ? barOf(name, each.scenario, runs) : undefined;
  const judgement = bar === undefined ? {} : { bar, holds: mean <= bar };
  return [{ ...figure, interval: [low, high], ...judgement }, ...medianOf(each, figure, of)];
}

/** A single unlucky frame soon after a step moves the mean of settling times: their median is told besides. */
function medianOf(
  { metrics }: Runs,
  { name, ...rest }: Pick<Figure, 'name' | 'unit' | 'better'>,
  of: FigureOfRun['of'],
): Figure[] {
  if (!name.endsWith('.settle_s')) return [];
  return [{ ...rest, name: name.replace(/_s$/, '_median_s'), value: median(metrics.map(of)) }];
}
