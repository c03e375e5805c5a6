import type { CalibrationBin } from '../../agent/simulate/calibration.ts';
import type { RunMetrics } from '../../agent/simulate/metrics.ts';
import type { ScenarioName } from '../../agent/simulate/scenarios.ts';

/** What one policy did in one scenario, seed by seed. */
export interface Runs {
  readonly table: string;
  readonly scenario: ScenarioName;
  readonly policy: string;
  readonly metrics: readonly RunMetrics[];
  readonly calibration: readonly CalibrationBin[];
}
