import type { RolloutDevice, StoredRollout } from '../store/rollout-store.ts';
import { ended, isFinal, isReverting } from './device-step.ts';

export interface Ending {
  readonly deed: 'abort' | 'undo';
  readonly reason: string;
  /** Whether devices that took it, or are taking it, go back. */
  readonly mode: 'revert' | 'keep';
  readonly now: number;
}

interface Document {
  readonly rollout: StoredRollout;
  readonly devices: ReadonlyMap<string, RolloutDevice>;
}

/** Ends a rollout: who waits is let off, who took it goes back where that is wanted. */
export function end({ rollout, devices }: Document, ending: Ending): Document {
  const next = new Map<string, RolloutDevice>();
  for (const [id, device] of devices) next.set(id, endDevice(device, ending));
  const { endedTs: _ended, counts: _counts, ...rest } = rollout;
  const state = ending.deed === 'abort' ? 'aborting' : 'undoing';
  return { rollout: { ...rest, state, reason: ending.reason }, devices: next };
}

function endDevice(device: RolloutDevice, { deed, mode, now }: Ending): RolloutDevice {
  const reason = deed === 'abort' ? 'the rollout was aborted' : 'the rollout was undone';
  const off = isFinal(device) ? device : ended(device, { state: 'CANCELED', reason, now });
  if (mode === 'keep' || !mayHaveIt(device)) return off;
  return { ...off, revert: { state: 'waiting', sinceTs: now } };
}

/** A device that failed or refused it runs what it ran before; one that was never told never had it. */
export function mayHaveIt({ attempts, state, revert }: RolloutDevice): boolean {
  if (attempts === 0 || revert !== undefined) return false;
  return state !== 'FAILED' && state !== 'REJECTED' && state !== 'REMOVED';
}

/** Ends a device's part in a rollout because a newer one takes it over. */
export function takenOver(
  device: RolloutDevice,
  { by, now }: { readonly by: string; readonly now: number },
): RolloutDevice {
  const reason = `taken over by rollout ${by}`;
  if (isReverting(device)) return { ...device, revert: { state: 'skipped', sinceTs: now, reason } };
  return isFinal(device) ? device : ended(device, { state: 'CANCELED', reason, now });
}
