import { mean } from '../../shared/statistics.ts';
import type { FrameOutcome } from './replay.ts';

/** Of the frames that ran with a predicted miss probability within the bin. */
export interface CalibrationBin {
  /** Probabilities from `from` to below `to`. */
  readonly from: number;
  readonly to: number;
  readonly frames: number;
  /** Mean of the predictions. */
  readonly predicted: number;
  /** Share of frames that were late. */
  readonly realised: number;
  readonly misses: number;
}

/** Three bins in a decade: a factor of about two from edge to edge. */
const EDGES = [0, 0.001, 0.002, 0.005, 0.01, 0.02, 0.05, 0.1, 0.2, 0.5, 1.001];

/** How the predicted probabilities to miss compare with what became of the frames; empty bins are left out. */
export function calibrationOf(outcomes: readonly FrameOutcome[]): CalibrationBin[] {
  const ran = outcomes.filter(({ point }) => point !== undefined);
  return EDGES.slice(0, -1).flatMap((from, index) => {
    const to = EDGES[index + 1] ?? 1;
    const inside = ran.filter(({ decision: { missProbability: p } }) => p >= from && p < to);
    if (inside.length === 0) return [];
    const misses = inside.filter(({ met }) => !met).length;
    const predicted = mean(inside.map(({ decision }) => decision.missProbability));
    const shares = { predicted, realised: misses / inside.length };
    return [{ from, to: Math.min(1, to), frames: inside.length, misses, ...shares }];
  });
}

/** The bins of several runs together. */
export function mergedCalibration(runs: readonly (readonly CalibrationBin[])[]): CalibrationBin[] {
  const groups = Map.groupBy(runs.flat(), ({ from }) => from);
  return [...groups.values()]
    .map((bins): CalibrationBin => {
      const total = (of: (bin: CalibrationBin) => number): number =>
        bins.reduce((sum, bin) => sum + of(bin), 0);
      const frames = total((bin) => bin.frames);
      const misses = total((bin) => bin.misses);
      const predicted = total((bin) => bin.predicted * bin.frames) / frames;
      const { from = 0, to = 1 } = bins[0] ?? {};
      return { from, to, frames, misses, predicted, realised: misses / frames };
    })
    .sort((a, b) => a.from - b.from);
}
