import type { RunMetrics } from './metrics.ts';

/** One figure of a run, as it is named and counted in reports. */
export interface FigureOfRun {
  readonly name: string;
  readonly unit: string;
  readonly better: 'lower' | 'higher';
  readonly of: (metrics: RunMetrics) => number;
}

const PERCENT = 'percent';
const POINTS = 'points';

/** The figures by which policies are compared first. */
export const MAIN_FIGURES: readonly FigureOfRun[] = [
  { name: 'miss', unit: PERCENT, better: 'lower', of: ({ miss }) => 100 * miss },
  { name: 'regret', unit: POINTS, better: 'lower', of: ({ regret }) => 100 * regret },
  { name: 'settle_s', unit: 's', better: 'lower', of: ({ settleS }) => settleS },
  {
    name: 'switches_per_min',
    unit: 'per minute',
    better: 'lower',
    of: ({ switchesPerMin }) => switchesPerMin,
  },
  { name: 'aba_per_min', unit: 'per minute', better: 'lower', of: ({ abaPerMin }) => abaPerMin },
];

/** What else is worth knowing of a run. */
export const FURTHER_FIGURES: readonly FigureOfRun[] = [
  { name: 'attainment', unit: PERCENT, better: 'higher', of: ({ attainment }) => 100 * attainment },
  { name: 'shed', unit: PERCENT, better: 'lower', of: ({ shed }) => 100 * shed },
  { name: 'accuracy_of_met', unit: PERCENT, better: 'higher', of: (run) => 100 * run.accuracyOfMet },
  { name: 'goodput', unit: PERCENT, better: 'higher', of: ({ goodput }) => 100 * goodput },
  { name: 'energy_per_met_j', unit: 'J', better: 'lower', of: ({ energyPerMetJ }) => energyPerMetJ },
  { name: 'energy_regret_j', unit: 'J', better: 'lower', of: ({ energyRegretJ }) => energyRegretJ },
  { name: 'p50_ms', unit: 'ms', better: 'lower', of: ({ p50Ms }) => p50Ms },
  { name: 'p95_ms', unit: 'ms', better: 'lower', of: ({ p95Ms }) => p95Ms },
  { name: 'p99_ms', unit: 'ms', better: 'lower', of: ({ p99Ms }) => p99Ms },
  { name: 'p999_ms', unit: 'ms', better: 'lower', of: ({ p999Ms }) => p999Ms },
  { name: 'overshoot', unit: 'levels', better: 'lower', of: ({ overshoot }) => overshoot },
  { name: 'miss_after_miss', unit: PERCENT, better: 'lower', of: (run) => 100 * run.missAfterMiss },
  { name: 'longest_miss_run', unit: 'frames', better: 'lower', of: (run) => run.longestMissRun },
];
