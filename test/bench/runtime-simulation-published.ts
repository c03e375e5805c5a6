import type { ScenarioName } from '../../agent/simulate/scenarios.ts';
import { mean } from '../../shared/statistics.ts';
import type { Figure } from './report.ts';
import type { Runs } from './runtime-simulation-runs.ts';

type Cell = readonly [miss: number, regret: number, switchesPerMin: number];

const ORDER: readonly ScenarioName[] = ['quiet', 'step', 'ramp', 'burst', 'square', 'thermal'];

/**
 * What an independent simulation of the same policies, table and scenarios gave: misses in percent, regret in
 * points, switches a minute.
 */
const INDEPENDENT: Readonly<Record<string, readonly Cell[]>> = {
  'static-largest': [
    ...([
      [1.7, 1.4, 0],
      [34.7, 26.1, 0],
      [59.7, 45.8, 0],
    ] as const),
    ...([
      [21.8, 14.7, 0],
      [52.1, 39.2, 0],
      [67, 51.2, 0],
    ] as const),
  ],
  'static-smallest': [
    ...([
      [0, 4.8, 0],
      [0.1, 3.6, 0],
      [0.1, 3.5, 0],
    ] as const),
    ...([
      [2.3, 4, 0],
      [0.2, 3, 0],
      [0.2, 3.1, 0],
    ] as const),
  ],
  'dynamic-ofa': [
    ...([
      [1.7, 1.4, 0],
      [13.2, 11.4, 4],
      [16.9, 14.2, 5],
    ] as const),
    ...([
      [20.6, 14.8, 2],
      [12, 10.9, 4],
      [20.5, 16.6, 5],
    ] as const),
  ],
  'dynamic-ofa-repaired': [
    ...([
      [1.7, 1.4, 0],
      [10.3, 8, 8],
      [14.5, 11.2, 10],
    ] as const),
    ...([
      [20.6, 14, 40],
      [51, 38.9, 35],
      [18.5, 14.3, 10],
    ] as const),
  ],
  slackfit: [
    ...([
      [1.7, 1.3, 3],
      [34.5, 26, 235],
      [58.3, 44.6, 335],
    ] as const),
    ...([
      [19.7, 13.1, 100],
      [51.1, 38.5, 366],
      [65.4, 49.9, 377],
    ] as const),
  ],
  alert: [
    ...([
      [0, 4.8, 0],
      [0.1, 3.6, 0],
      [0.1, 3.5, 0],
    ] as const),
    ...([
      [2.3, 4, 0],
      [0.2, 3, 0],
      [0.2, 3.1, 0],
    ] as const),
  ],
  'alert-tuned': [
    ...([
      [0.2, 0.8, 76],
      [0.7, 1.2, 149],
      [0.4, 1.1, 128],
    ] as const),
    ...([
      [15.8, 10.7, 129],
      [3.6, 3.5, 228],
      [0.5, 1.1, 99],
    ] as const),
  ],
  'alert-tuned-shedding': [
    ...([
      [0.2, 0.8, 76],
      [0.7, 1.2, 149],
      [0.4, 1.1, 128],
    ] as const),
    ...([
      [9.6, 6.1, 144],
      [3.6, 3.5, 228],
      [0.5, 1.1, 99],
    ] as const),
  ],
};

/** Relative difference that luck and rounding may make. */
const TOLERANCE = 0.2;
/** The figures above are rounded, and small shares of 40 minutes are a few frames. */
const ROUNDING = 0.15;

/** How many misses and regrets of published policies differ by more than 20 percent from an independent simulation. */
export function publishedFigures(runs: readonly Runs[]): Figure {
  const differing = runs.flatMap(({ scenario, policy, metrics }) => {
    const [miss, regret] = INDEPENDENT[policy]?.[ORDER.indexOf(scenario)] ?? [];
    if (miss === undefined || regret === undefined) return [];
    const ours = {
      miss: 100 * mean(metrics.map((run) => run.miss)),
      regret: 100 * mean(metrics.map((run) => run.regret)),
    };
    return [...differs(ours.miss, miss, 'miss'), ...differs(ours.regret, regret, 'regret')].map(
      (what) => `${scenario}.${policy}.${what}`,
    );
  });
  return {
    name: 'jetson-gpu.peers_differing',
    value: differing.length,
    unit: 'figures',
    better: 'lower',
    bar: 0,
    holds: differing.length === 0,
    ...(differing.length === 0 ? {} : { reason: differing.join(', ') }),
  };
}

function differs(value: number, expected: number, name: string): string[] {
  const within = Math.abs(value - expected) <= Math.max(ROUNDING, TOLERANCE * expected);
  return within ? [] : [`${name} ${value.toFixed(2)} instead of ${expected}`];
}
