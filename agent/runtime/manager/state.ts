import type { Requirement } from '../../../shared/protocol/requirement.ts';
import type { ProcessingElement } from '../../../shared/protocol/window.ts';
import type { Profile } from '../points.ts';
import { type Climbing, freeToClimb } from './climbing.ts';
import { type Corrections, correctionOf, noCorrections } from './corrections.ts';
import { type Element, newElement } from './element.ts';
import { noSurcharge, type Surcharge } from './surcharge.ts';

/** All that the manager knows. */
export interface ManagerState {
  readonly elements: ReadonlyMap<ProcessingElement, Element>;
  readonly corrections: Corrections;
  readonly surcharge: Surcharge;
  readonly climbing: Climbing;
  readonly last: Last | undefined;
}

/** The last inference. */
export interface Last {
  /** Index and processing element of its point. */
  readonly point: number;
  readonly pe: ProcessingElement;
  readonly budgetMs: number | undefined;
  readonly requirement: Requirement;
}

/** What is known before the first inference: the profile. */
export function initialState(profile: Profile): ManagerState {
  return {
    elements: new Map(profile.map(({ pe }) => [pe, newElement()])),
    corrections: noCorrections(),
    surcharge: noSurcharge(),
    climbing: freeToClimb(),
    last: undefined,
  };
}

/** What a point takes without load: the profile's latency, corrected, milliseconds. */
export function unloadedMs({ corrections }: ManagerState, profile: Profile, point: number): number {
  const log = correctionOf(corrections, point);
  return (profile[point]?.latencyMs ?? Number.NaN) * (log === 0 ? 1 : Math.exp(log));
}
