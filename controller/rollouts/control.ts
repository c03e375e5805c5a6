import { AppError } from '../../shared/errors.ts';
import type { RolloutDevice } from '../store/rollout-store.ts';
import type { RolloutDocument } from './advance.ts';
import { claimsOf, isClaimed } from './claims.ts';
import { end, mayHaveIt, takenOver } from './end.ts';

/** What an operator tells a rollout. */
export type Control =
  | { readonly deed: 'pause' | 'resume' | 'undo' }
  | { readonly deed: 'abort'; readonly onAbort?: 'revert' | 'keep' | undefined };

/**
 * What an operator's word makes of a rollout.
 * @throws AppError `conflict` when it is not in a state for that
 */
export function controlled(document: RolloutDocument, control: Control, now: number): RolloutDocument {
  const { rollout, devices } = document;
  const { state, plan } = rollout;
  const refuse = (what: string): AppError => new AppError('conflict', `rollout '${plan.id}' ${what}`);
  switch (control.deed) {
    case 'pause':
      if (state !== 'running') throw refuse(`is ${state}: only one that is running can be paused`);
      return { rollout: { ...rollout, state: 'paused' }, devices };
    case 'resume':
      if (state !== 'paused') throw refuse(`is ${state}: only one that is paused can be resumed`);
      return { rollout: { ...rollout, state: 'running' }, devices };
    case 'abort': {
      if (state !== 'running' && state !== 'paused') throw refuse(`is ${state}: there is nothing to abort`);
      const mode = control.onAbort ?? plan.onAbort;
      return end(document, { deed: 'abort', reason: 'aborted by an operator', mode, now });
    }
    case 'undo':
      if (state === 'aborting' || state === 'undoing') throw refuse(`is ${state} already`);
      if (![...devices.values()].some(mayHaveIt)) throw refuse('has no device that took it: nothing to undo');
      return end(document, { deed: 'undo', reason: 'undone by an operator', mode: 'revert', now });
  }
}

/**
 * A new rollout beside the others. A device follows one rollout of a kind at a time.
 * @returns it, and those of the others that it takes devices from
 * @throws AppError `conflict` naming the rollout that has one of its devices
 */
export function startedWith(
  document: RolloutDocument,
  { others, isForced }: { readonly others: Iterable<RolloutDocument>; readonly isForced: boolean },
): { readonly document: RolloutDocument; readonly others: RolloutDocument[] } {
  const { plan } = document.rollout;
  const same = [...others].filter(({ rollout }) => rollout.plan.kind === plan.kind);
  const claims = claimsOf(same, plan.kind);
  const taken = [...document.devices.keys()].filter((id) => claims.has(id));
  const [first] = taken;
  if (first !== undefined && !isForced) {
    const more = taken.length > 1 ? ` and ${taken.length - 1} more` : '';
    throw new AppError(
      'conflict',
      `rollout '${claims.get(first)}' has ${first}${more}: wait for it, abort it, or take them over with --force`,
    );
  }
  const losing = same.filter(({ devices }) => taken.some((id) => hasClaim(devices.get(id))));
  const by = { by: plan.id, now: plan.createdTs };
  return { document, others: losing.map((other) => without(other, new Set(taken), by)) };
}

function hasClaim(device: RolloutDevice | undefined): boolean {
  return device !== undefined && isClaimed(device);
}

function without(
  { rollout, devices }: RolloutDocument,
  taken: ReadonlySet<string>,
  by: { readonly by: string; readonly now: number },
): RolloutDocument {
  const next = [...devices].map(
    ([id, device]) => [id, taken.has(id) ? takenOver(device, by) : device] as const,
  );
  return { rollout, devices: new Map(next) };
}
