import { PEERS } from '../../agent/runtime/policies/registry.ts';
import { bootstrapMean } from '../../agent/simulate/bootstrap.ts';
import type { CalibrationBin } from '../../agent/simulate/calibration.ts';
import type { RunMetrics } from '../../agent/simulate/metrics.ts';
import type { ScenarioName } from '../../agent/simulate/scenarios.ts';
import { seededRandom } from '../../shared/random.ts';
import { mean } from '../../shared/statistics.ts';
import { type Figure, judged } from './report.ts';
import type { Runs } from './runtime-simulation-runs.ts';

/** The policy that is judged. */
export const OURS = 'ofa';

export const BOOTSTRAP_SEED = 1;
const ORACLE = 'oracle';
/** Percent points over the per-frame oracle's misses that are allowed. */
const OVER_ORACLE = 0.5;
/** Asked is 2 percent; twice that may be missed. */
const MISS_BAR = 4;
const REGRET_BARS: Readonly<Record<ScenarioName, number>> = {
  ...{ quiet: 0.8, step: 1.15, ramp: 1.15, thermal: 1.15, square: 3, burst: 3.8 },
};
const BURST_MISS_BAR = 6;
const BURSTS_PER_MIN = 20;
const ABA_BAR = 3;
const ABA_PER_BURST_BAR = 1.2;
/** A bin with fewer misses says little. */
const CALIBRATED_MISSES = 100;

/** The bar of one of our figures, all of which are to be low; undefined where there is none. */
export function barOf(figure: string, scenario: ScenarioName, runs: readonly Runs[]): number | undefined {
  const periodic = scenario === 'burst' || scenario === 'square';
  switch (figure) {
    case 'regret':
      return REGRET_BARS[scenario];
    case 'settle_s':
      return 0.2;
    case 'switches_per_min':
      return 60;
    case 'aba_per_min':
      return scenario === 'burst' ? ABA_PER_BURST_BAR * BURSTS_PER_MIN : periodic ? undefined : ABA_BAR;
    case 'miss':
      return missBar(scenario, runs);
    default:
      return undefined;
  }
}

function missBar(scenario: ScenarioName, runs: readonly Runs[]): number | undefined {
  if (scenario === 'burst') return BURST_MISS_BAR;
  if (scenario === 'square') return undefined;
  const oracle = 100 * meanOf(find(runs, scenario, ORACLE), ({ miss }) => miss) + OVER_ORACLE;
  return scenario === 'quiet' ? Math.max(MISS_BAR, oracle) : oracle;
}

/** What is judged of ours in comparison with others, scenario by scenario. */
export function judgedFigures(runs: readonly Runs[]): Figure[] {
  return runs
    .filter(({ policy }) => policy === OURS)
    .flatMap((ours) => [lead(ours, runs), ...againstOracle(ours, runs), ...calibration(ours)]);
}

/** Regret of the best published policy less ours, on the same traces: positive where we are ahead. */
function lead(ours: Runs, runs: readonly Runs[]): Figure {
  const regret = (of: Runs | undefined): number => meanOf(of, (metrics) => metrics.regret);
  const others = Object.keys(PEERS).map((policy) => find(runs, ours.scenario, policy));
  const best = others.reduce((least, each) => (regret(each) < regret(least) ? each : least));
  const differences = ours.metrics.map(
    (metrics, seed) => 100 * ((best?.metrics[seed]?.regret ?? Number.NaN) - metrics.regret),
  );
  const { mean: value, low, high } = bootstrapMean(differences, seededRandom(BOOTSTRAP_SEED));
  const name = `${prefixOf(ours)}.lead`;
  const figure = judged({ name, value, unit: 'points', better: 'higher', bar: 0 });
  return { ...figure, interval: [low, high], reason: `the best other one is ${best?.policy}` };
}

function againstOracle(ours: Runs, runs: readonly Runs[]): Figure[] {
  const oracle = find(runs, ours.scenario, ORACLE);
  const over = (of: (metrics: RunMetrics) => number): number =>
    100 * (meanOf(ours, of) / meanOf(oracle, of) - 1);
  const unit = 'percent';
  return [
    judged({
      name: `${prefixOf(ours)}.energy_over_oracle`,
      value: over(({ energyPerMetJ }) => energyPerMetJ),
      unit,
      better: 'lower',
      bar: 3,
    }),
    {
      name: `${prefixOf(ours)}.error_over_oracle`,
      value: over(({ goodput }) => 1 - goodput),
      unit,
      better: 'lower',
    },
  ];
}

/** The largest factor between predicted and realised misses, of bins with enough of them. */
function calibration(ours: Runs): Figure[] {
  const bins = ours.calibration.filter(({ misses }) => misses >= CALIBRATED_MISSES);
  if (bins.length === 0) return [];
  const value = Math.max(...bins.map(factorOf));
  return [
    judged({ name: `${prefixOf(ours)}.calibration_factor`, value, unit: 'ratio', better: 'lower', bar: 2 }),
  ];
}

function factorOf({ predicted, realised }: CalibrationBin): number {
  return Math.max(predicted / realised, realised / predicted);
}

function prefixOf({ table, scenario, policy }: Runs): string {
  return `${table}.${scenario}.${policy}`;
}

function find(runs: readonly Runs[], scenario: ScenarioName, policy: string): Runs | undefined {
  return runs.find((each) => each.scenario === scenario && each.policy === policy);
}

function meanOf(runs: Runs | undefined, of: (metrics: RunMetrics) => number): number {
  return mean(runs?.metrics.map(of) ?? []);
}
