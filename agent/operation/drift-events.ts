import type { EventBody } from '../../shared/protocol/event.ts';
import type { StaleProfile } from './profile-keeper.ts';

/** What is told of a profile that no longer fits, or fits again. */
export function staleEvent(state: 'begins' | 'ends', { point, reason }: StaleProfile): EventBody {
  return { kind: 'drift', state, ...(point ?? { level: 0 }), reason };
}

/** What is told when a family leaves: what drifts of it does not drift any more. */
export function endsOfDrift(
  drifting: { readonly level: number } | undefined,
  stale: StaleProfile | undefined,
): EventBody[] {
  const reason = 'another family serves';
  return [
    ...(drifting === undefined
      ? []
      : [{ kind: 'drift', state: 'ends', level: drifting.level, reason } as const]),
    ...(stale === undefined ? [] : [staleEvent('ends', { ...stale, reason })]),
  ];
}
