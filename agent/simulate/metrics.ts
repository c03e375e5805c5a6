import { mean, quantileOfSorted } from '../../shared/statistics.ts';
import type { Profile } from '../runtime/points.ts';
import { levelTrack } from './level-track.ts';
import type { FrameOutcome } from './replay.ts';

/** A disturbance that comes once: settling is looked for from its beginning to its end. */
export interface StepTime {
  readonly fromMs: number;
  readonly toMs: number;
}

/** What one run over one trace was worth. Shares and accuracies are 0..1; NaN where there is nothing to divide by. */
export interface RunMetrics {
  /** Late or shed, of all frames. */
  readonly miss: number;
  readonly attainment: number;
  readonly shed: number;
  /** Mean accuracy of the frames that were met. */
  readonly accuracyOfMet: number;
  /** Accuracy of met frames summed, over all frames. */
  readonly goodput: number;
  /** Goodput accuracy of the per-frame oracle on the same trace, less this. */
  readonly regret: number;
  readonly energyPerMetJ: number;
  /** Energy of a met frame, less that of the oracle. */
  readonly energyRegretJ: number;
  /** From arrival to answer, of the frames that ran. */
  readonly p50Ms: number;
  readonly p95Ms: number;
  readonly p99Ms: number;
  readonly p999Ms: number;
  /**
   * From the beginning of the step to the first of 20 frames in a row that are met at the oracle's level or one
   * below; the whole step where there are none; NaN without a step.
   */
  readonly settleS: number;
  /** Levels under the oracle's, the most in the step; NaN without a step. */
  readonly overshoot: number;
  readonly switchesPerMin: number;
  /** Returns to a level that was left no more than 2 s before. */
  readonly abaPerMin: number;
  /** Of frames after a missed one, the share that is missed too. */
  readonly missAfterMiss: number;
  /** Frames. */
  readonly longestMissRun: number;
}

export interface MetricsOptions {
  /** Of the per-frame oracle over the same trace. */
  readonly oracle: readonly FrameOutcome[];
  readonly profile: Profile;
  readonly step?: StepTime;
  /** Milliseconds of the trace that count as a second: 1000 unless the trace's time is stretched. */
  readonly secondMs?: number;
}

/** A level that is come back to within this time was left in vain. */
const RETURN_S = 2;
/** A run is settled when so many frames in a row are met near the oracle's level. */
const SETTLED_FRAMES = 20;

/** All metrics of one run. */
export function metricsOf(outcomes: readonly FrameOutcome[], options: MetricsOptions): RunMetrics {
  const met = outcomes.filter((outcome) => outcome.met);
  const answerMs = outcomes
    .filter(({ point }) => point !== undefined)
    .map(({ endedMs, arrivedMs }) => endedMs - arrivedMs)
    .sort((a, b) => a - b);
  const goodput = goodputOf(outcomes);
  const miss = 1 - met.length / outcomes.length;
  return {
    miss,
    attainment: 1 - miss,
    shed: outcomes.filter(({ point }) => point === undefined).length / outcomes.length,
    accuracyOfMet: mean(met.map((outcome) => outcome.goodput)),
    goodput,
    regret: goodputOf(options.oracle) - goodput,
    energyPerMetJ: energyPerMet(outcomes),
    energyRegretJ: energyPerMet(outcomes) - energyPerMet(options.oracle),
    ...quantiles(answerMs),
    ...stepMetrics(outcomes, options),
    ...switchMetrics(outcomes, options.secondMs ?? 1_000),
    ...missRuns(outcomes),
  };
}

/** Accuracy of met frames summed, over all frames. */
export function goodputOf(outcomes: readonly FrameOutcome[]): number {
  return mean(outcomes.map(({ goodput }) => goodput));
}

function energyPerMet(outcomes: readonly FrameOutcome[]): number {
  return sum(outcomes.map(({ energyJ }) => energyJ)) / outcomes.filter(({ met }) => met).length;
}

function quantiles(sorted: readonly number[]): Pick<RunMetrics, 'p50Ms' | 'p95Ms' | 'p99Ms' | 'p999Ms'> {
  const at = (q: number): number => quantileOfSorted(sorted, q);
  return { p50Ms: at(0.5), p95Ms: at(0.95), p99Ms: at(0.99), p999Ms: at(0.999) };
}

function stepMetrics(
  outcomes: readonly FrameOutcome[],
  { oracle, profile, step, secondMs = 1_000 }: MetricsOptions,
): Pick<RunMetrics, 'settleS' | 'overshoot'> {
  if (step === undefined) return { settleS: Number.NaN, overshoot: Number.NaN };
  const within = ({ arrivedMs }: FrameOutcome): boolean => arrivedMs >= step.fromMs && arrivedMs < step.toMs;
  const mine = outcomes.filter(within);
  const below = levelTrack(mine, { oracle: oracle.filter(within), profile, window: SETTLED_FRAMES });
  const fine = below.map((levels, at) => levels <= 1 && mine[at]?.met === true);
  const settled = fine.findIndex((_, start) => {
    const run = fine.slice(start, start + SETTLED_FRAMES);
    return run.length === SETTLED_FRAMES && run.every(Boolean);
  });
  const settledMs = settled < 0 ? step.toMs : (mine[settled]?.arrivedMs ?? step.toMs);
  const overshoot = Math.max(0, ...below.filter(Number.isFinite));
  return { settleS: (settledMs - step.fromMs) / secondMs, overshoot };
}

function switchMetrics(
  outcomes: readonly FrameOutcome[],
  secondMs: number,
): Pick<RunMetrics, 'switchesPerMin' | 'abaPerMin'> {
  const switches: { readonly from: number; readonly to: number; readonly atMs: number }[] = [];
  let from: number | undefined;
  for (const { point, startedMs } of outcomes) {
    if (point === undefined) continue;
    if (from !== undefined && point !== from) switches.push({ from, to: point, atMs: startedMs });
    from = point;
  }
  const returns = switches.filter(({ from: left, to, atMs }, index) => {
    const away = switches[index - 1];
    return (
      away !== undefined && away.from === to && away.to === left && atMs - away.atMs <= RETURN_S * secondMs
    );
  });
  const minutes = durationMs(outcomes) / (60 * secondMs);
  return { switchesPerMin: switches.length / minutes, abaPerMin: returns.length / minutes };
}

/** From the first arrival to the last, and one mean period more. */
function durationMs(outcomes: readonly FrameOutcome[]): number {
  const [first, last] = [outcomes[0], outcomes.at(-1)];
  if (first === undefined || last === undefined || outcomes.length < 2) return Number.NaN;
  return ((last.arrivedMs - first.arrivedMs) * outcomes.length) / (outcomes.length - 1);
}

function missRuns(outcomes: readonly FrameOutcome[]): Pick<RunMetrics, 'missAfterMiss' | 'longestMissRun'> {
  let [run, longest, after, both] = [0, 0, 0, 0];
  for (const { met } of outcomes) {
    if (run > 0) after += 1;
    if (run > 0 && !met) both += 1;
    run = met ? 0 : run + 1;
    longest = Math.max(longest, run);
  }
  return { missAfterMiss: both / after, longestMissRun: longest };
}

function sum(values: readonly number[]): number {
  return values.reduce((total, value) => total + value, 0);
}
