import type { DeviceInference } from './inference-source.ts';

/** A part of the demonstration, in milliseconds since its beginning. */
export interface Phase {
  readonly name: string;
  readonly fromMs: number;
  readonly toMs: number;
  /** Share of each core that the contender takes, 0..1. */
  readonly duty: number;
}

/** An inference with its time since the beginning of the demonstration. */
export interface TimedInference extends DeviceInference {
  readonly atMs: number;
}

/** What a phase came to; null where there is nothing to take a mean of. */
export interface PhaseFigures extends Phase {
  readonly inferences: number;
  readonly misses: number;
  readonly missShare: number | null;
  readonly latencyMeanMs: number | null;
  readonly levelMean: number | null;
  /** Mean top-1 accuracy of the levels that ran, 0..1. */
  readonly accuracyMean: number | null;
  readonly switches: number;
  /**
   * From the phase's beginning to the first run of 20 inferences in time at the level that the phase settled
   * on, or one beside it; null when there is none, or nothing changed.
   */
  readonly settleMs: number | null;
}

/** So many inferences in a row must be in time before a device counts as settled. */
const SETTLED_RUN = 20;

/** Inferences with their time since `startTs`. */
export function timed(inferences: readonly DeviceInference[], startTs: number): TimedInference[] {
  return inferences.map((inference) => ({ ...inference, atMs: inference.ts - startTs }));
}

/**
 * Figures of each phase.
 * @param accuracyOf top-1 accuracy of a level, 0..1
 */
export function phaseFigures(
  inferences: readonly TimedInference[],
  phases: readonly Phase[],
  accuracyOf: (level: number) => number,
): PhaseFigures[] {
  return phases.map((phase, index) => {
    const own = inferences.filter(({ atMs }) => atMs >= phase.fromMs && atMs < phase.toMs);
    const before = inferences.findLast(({ atMs }) => atMs < phase.fromMs);
    const misses = own.filter(({ missed }) => missed).length;
    return {
      ...phase,
      inferences: own.length,
      misses,
      missShare: own.length === 0 ? null : misses / own.length,
      latencyMeanMs: meanOf(own, ({ latencyMs }) => latencyMs),
      levelMean: meanOf(own, ({ level }) => level),
      accuracyMean: meanOf(own, ({ level }) => accuracyOf(level)),
      switches: switchesOf(before === undefined ? own : [before, ...own]).length,
      settleMs: index === 0 ? null : settleMs(own, phase),
    };
  });
}

function meanOf(of: readonly TimedInference[], value: (inference: TimedInference) => number): number | null {
  if (of.length === 0) return null;
  return of.reduce((sum, inference) => sum + value(inference), 0) / of.length;
}

/** The inferences that were the first at another level. */
export function switchesOf(inferences: readonly TimedInference[]): TimedInference[] {
  return inferences.filter(({ level }, index) => index > 0 && level !== inferences[index - 1]?.level);
}

function settleMs(own: readonly TimedInference[], { fromMs }: Phase): number | null {
  const settledOn = mostUsedLevel(own.slice(Math.floor(own.length / 2)));
  if (settledOn === undefined) return null;
  let run = 0;
  for (const [index, { missed, level }] of own.entries()) {
    run = !missed && Math.abs(level - settledOn) <= 1 ? run + 1 : 0;
    if (run === SETTLED_RUN) return Math.max(0, (own[index - SETTLED_RUN + 1]?.atMs ?? fromMs) - fromMs);
  }
  return null;
}

function mostUsedLevel(inferences: readonly TimedInference[]): number | undefined {
  const counts = new Map<number, number>();
  for (const { level } of inferences) counts.set(level, (counts.get(level) ?? 0) + 1);
  const [most] = [...counts].toSorted(([, a], [, b]) => b - a);
  return most?.[0];
}
