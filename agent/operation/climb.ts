import type { Clock } from '../../shared/clock.ts';
import type { Cause } from '../runtime/policy.ts';

/** Nothing must have kept the best loaded level out for so long before a heavier one takes a lighter one's memory. */
const CALM_MS = 2_000;
/** After something did, the lighter levels keep their memory for so long. */
const CAREFUL_MS = 20_000;

/** Whether a heavier level than the one in use should rather be loaded than a lighter one. */
export interface ClimbWatch {
  /** Takes in why a point was chosen among those that are loaded. */
  decided(cause: Cause): void;
  mayClimb(): boolean;
}

/** Makes a watch. A policy that does not say why it chooses never climbs by it. */
export function createClimbWatch(clock: Clock): ClimbWatch {
  let bestSinceMs: number | undefined;
  let notBeforeMs = Number.NEGATIVE_INFINITY;
  return {
    decided: (cause) => {
      if (cause === 'best') {
        bestSinceMs ??= clock.monoMs();
        return;
      }
      if (bestSinceMs !== undefined) notBeforeMs = clock.monoMs() + CAREFUL_MS;
      bestSinceMs = undefined;
    },
    mayClimb: () => {
      const nowMs = clock.monoMs();
      return bestSinceMs !== undefined && nowMs - bestSinceMs >= CALM_MS && nowMs >= notBeforeMs;
    },
  };
}
