import type { RolloutDocument } from './advance.ts';
import type { Facts } from './facts.ts';
import { allowance } from './orders.ts';

/** A blob that waits to be sent, so that devices which will ask for it are spared a pass of their own. */
export interface HeldBlob {
  readonly sha256: string;
  /** Devices that have asked for it. */
  readonly asked: ReadonlySet<string>;
  /** Since it was first asked for, and since a device asked that had not before, milliseconds. */
  readonly heldMs: number;
  readonly quietMs: number;
}

/** Who will ask for the blobs of a rollout. */
export interface Askers {
  /** Whether devices will begin to fetch: they will soon be told to, or were told and have not been heard of since. */
  readonly areComing: boolean;
  /** Devices that are online and fetch. */
  readonly fetching: ReadonlySet<string>;
  /** Whether one of them has waited for so long that its own time would run out. */
  readonly isPressed: boolean;
}

/** Nobody new for so long: those that are still to come may be switched off. */
const QUIET_MS = 15_000;
/** Devices that got the manifest together ask for what it names within this time. */
const TOGETHER_MS = 3_000;
/** Part of a step's time for which a device may be kept waiting for others. */
const LONGEST_HOLD = 0.25;

const NOBODY: Askers = { areComing: false, fetching: new Set(), isPressed: false };

/** Who will ask for what a rollout brings, by what is known of its devices. */
export function askersOf({ rollout, devices }: RolloutDocument, facts: Facts): Askers {
  if (rollout.state !== 'running') return NOBODY;
  const { plan, stage, watchedMs } = rollout;
  const mayTell = facts.mayOrder && isTellingSoon(rollout);
  const fetching = new Set<string>();
  let areComing = false;
  let isPressed = false;
  for (const each of devices.values()) {
    if (each.state === 'QUEUED' && each.stage <= stage) {
      areComing ||= each.attempts > 0 ? each.isHeard !== true : mayTell;
    } else if (each.state === 'IN_PROGRESS' && each.step === 'fetching' && facts.of(each.device).isOnline) {
      fetching.add(each.device);
      isPressed ||= watchedMs - (each.progressMs ?? watchedMs) > plan.stepTimeoutMs * LONGEST_HOLD;
    }
  }
  return { areComing, fetching, isPressed };
}

/** Whether the rate allows an order now, or before whoever waits gives up waiting. */
function isTellingSoon({ plan, given, watchedMs }: RolloutDocument['rollout']): boolean {
  return allowance(plan.rate, given, watchedMs + QUIET_MS) > 0;
}

/**
 * Whether it is worth to wait for more devices before a blob is sent. All that a device does begins with the
 * manifest: there it is waited for those that are still to come, and whoever had it together goes on together.
 */
export function isWorthWaiting(
  { areComing, fetching, isPressed }: Askers,
  { sha256, asked, heldMs, quietMs }: HeldBlob,
  manifest: string,
): boolean {
  if (isPressed) return false;
  if (sha256 === manifest) return areComing && quietMs < QUIET_MS;
  return heldMs < TOGETHER_MS && [...fetching].some((device) => !asked.has(device));
}
