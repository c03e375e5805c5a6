import type { ReleaseKind } from '../../shared/protocol/release.ts';
import type { RolloutDevice } from '../store/rollout-store.ts';
import type { RolloutDocument } from './advance.ts';
import { isFinal, isReverting } from './device-step.ts';

/** Which rollout has which device, of one kind: the newest that is not over and is not done with it. */
export type Claims = ReadonlyMap<string, string>;

/** Whether a rollout that is not over may still have orders for a device. */
export function isClaimed(device: RolloutDevice): boolean {
  if (device.revert !== undefined) return isReverting(device);
  return !isFinal(device) || (device.state === 'SUCCEEDED' && device.attempts > 0);
}

/**
 * @param documents rollouts that are not over
 * @param own a rollout that asks for itself: where there is no other, nobody has a device besides
 */
export function claimsOf(documents: Iterable<RolloutDocument>, kind: ReleaseKind, own?: string): Claims {
  const claims = new Map<string, string>();
  const ofKind = [...documents].filter(({ rollout }) => rollout.plan.kind === kind);
  if (ofKind.every(({ rollout }) => rollout.plan.id === own)) return claims;
  for (const { rollout, devices } of ofKind.sort(
    (a, b) => a.rollout.plan.createdTs - b.rollout.plan.createdTs,
  )) {
    for (const device of devices.values()) {
      if (isClaimed(device)) claims.set(device.device, rollout.plan.id);
    }
  }
  return claims;
}
