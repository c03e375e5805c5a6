import type { ChosenPoint } from '../profile/contender.ts';
import type { PointState } from '../report/document.ts';
import type { Watching } from './watching.ts';

export interface UsablePoints {
  /** As they run. */
  readonly points: readonly Pick<ChosenPoint, 'threads'>[];
  readonly isUsable: (index: number) => boolean;
  /** Why points that are loaded are not used. */
  readonly unusable: ReadonlyMap<number, string>;
}

/** Operating points with all that is known of them, in the profile's order. */
export function pointStates(
  watching: Pick<Watching, 'profile' | 'energyQualities'>,
  { points, isUsable, unusable }: UsablePoints,
): PointState[] {
  const qualities = watching.energyQualities();
  return watching.profile().map((point, index): PointState => {
    const threads = points[index]?.threads;
    const reason = unusable.get(index);
    return {
      ...point,
      energyQuality: qualities[index] ?? 'unknown',
      ...(threads === undefined ? {} : { threads }),
      usable: reason === undefined && isUsable(index),
      ...(reason === undefined ? {} : { quarantined: reason }),
    };
  });
}
