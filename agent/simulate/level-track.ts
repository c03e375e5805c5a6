import type { Profile } from '../runtime/points.ts';
import { usableLadder } from '../runtime/policies/situation.ts';
import type { FrameOutcome } from './replay.ts';

export interface TrackOptions {
  /** Of the per-frame oracle for the same frames. */
  readonly oracle: readonly FrameOutcome[];
  readonly profile: Profile;
  /** Frames over which the oracle's level is taken: its luck of single frames does not count. */
  readonly window: number;
}

/**
 * How many levels each frame ran under the oracle's, which is the median over the window around the frame; 0
 * where it ran at or above it, infinite where it was shed. Levels are counted by their profiled latency.
 */
export function levelTrack(
  outcomes: readonly FrameOutcome[],
  { oracle, profile, window }: TrackOptions,
): number[] {
  const ranks = new Map(usableLadder(profile).map(({ point }, rank) => [point, rank]));
  const rankOf = ({ point }: FrameOutcome): number =>
    (point === undefined ? undefined : ranks.get(point)) ?? Number.NEGATIVE_INFINITY;
  const ideal = oracle.map(rankOf);
  return outcomes.map((outcome, frame) => {
    const from = Math.max(0, Math.min(frame - window / 2, ideal.length - window));
    const around = ideal.slice(from, from + window).sort((a, b) => a - b);
    const wanted = around[Math.floor((around.length - 1) / 2)] ?? 0;
    return Math.max(0, wanted - rankOf(outcome));
  });
}
