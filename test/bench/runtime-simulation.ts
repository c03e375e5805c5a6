import type { Profile } from '../../agent/runtime/points.ts';
import { type CalibrationBin, calibrationOf, mergedCalibration } from '../../agent/simulate/calibration.ts';
import { generatedCourse } from '../../agent/simulate/course.ts';
import { loadLevels } from '../../agent/simulate/levels.ts';
import { metricsOf, type RunMetrics } from '../../agent/simulate/metrics.ts';
import { SCENARIOS, type ScenarioName } from '../../agent/simulate/scenarios.ts';
import { simulate, simulatedNames } from '../../agent/simulate/simulate.ts';
import type { Figure } from './report.ts';
import { judgedFigures, OURS } from './runtime-simulation-bars.ts';
import { figuresOf } from './runtime-simulation-figures.ts';
import { publishedFigures } from './runtime-simulation-published.ts';
import type { Runs } from './runtime-simulation-runs.ts';

/** The families that are simulated: the published one and our own. */
const TABLES = ['jetson-gpu', 'bundled'] as const;
const SEEDS = 40;
/** As all bars of regret ask: no accuracy floor, energy has no price. */
const REQUIREMENT = { missShare: 0.02, price: 0 };

/** Every policy and oracle through every scenario, on both tables. */
export async function simulationFigures(): Promise<Figure[]> {
  const figures: Figure[] = [];
  for (const table of TABLES) {
    const profile = await loadLevels(table);
    const runs = (Object.keys(SCENARIOS) as ScenarioName[]).flatMap((scenario) =>
      runsOf({ table, profile, scenario, seeds: SEEDS }),
    );
    figures.push(...figuresOf(runs), ...judgedFigures(runs));
    if (table === 'jetson-gpu') figures.push(publishedFigures(runs));
  }
  return figures;
}

interface RunsOptions {
  readonly table: string;
  readonly profile: Profile;
  readonly scenario: ScenarioName;
  readonly seeds: number;
}

/** Runs of all policies; of one seed all of them meet the same trace. */
function runsOf({ table, profile, scenario, seeds }: RunsOptions): Runs[] {
  const policies = simulatedNames().filter((name) => name !== 'static:N');
  const seen = new Map(policies.map((policy) => [policy, newSeen()]));
  for (let seed = 1; seed <= seeds; seed += 1) {
    const { secondMs, step, ...course } = generatedCourse({
      profile,
      requirement: REQUIREMENT,
      scenario,
      seed,
    });
    const oracle = simulate('oracle', course);
    const options = { oracle, profile, secondMs, ...(step === undefined ? {} : { step }) };
    for (const [policy, { metrics, calibration }] of seen) {
      const outcomes = simulate(policy, course);
      metrics.push(metricsOf(outcomes, options));
      if (policy === OURS) calibration.push(calibrationOf(outcomes));
    }
  }
  return [...seen].map(([policy, { metrics, calibration }]) => {
    return { table, scenario, policy, metrics, calibration: mergedCalibration(calibration) };
  });
}

function newSeen(): { readonly metrics: RunMetrics[]; readonly calibration: CalibrationBin[][] } {
  return { metrics: [], calibration: [] };
}
