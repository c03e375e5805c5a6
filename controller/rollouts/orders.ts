import type { Order } from '../../shared/protocol/release.ts';
import type { Rate, RolloutDevice, StoredRollout } from '../store/rollout-store.ts';
import { isFinal } from './device-step.ts';
import type { Facts } from './facts.ts';

/** Orders of late are remembered in so many parts of the rate's time. */
const RATE_PARTS = 50;

/** Storing an order takes some 20 us; telemetry has its turn between so many. */
export const MAX_AT_ONCE = 500;

type Given = StoredRollout['given'];

/** How many orders may be given now; in no stretch of the rate's length are there more than its count. */
export function allowance(rate: Rate | undefined, given: Given, watchedMs: number): number {
  if (rate === undefined) return Number.POSITIVE_INFINITY;
  const recent = given.filter(({ ms }) => ms > watchedMs - rate.perMs);
  return Math.max(0, rate.count - recent.reduce((sum, { count }) => sum + count, 0));
}

/** Notes orders that are given now. Those of one part count from the last of them: never too few are counted. */
export function withGiven(rate: Rate | undefined, given: Given, { ms, count }: Given[number]): Given {
  if (rate === undefined || count === 0) return given;
  const partOf = (at: number): number => Math.floor((at * RATE_PARTS) / rate.perMs);
  const recent = given.filter((each) => each.ms > ms - rate.perMs);
  const last = recent.at(-1);
  if (last === undefined || partOf(last.ms) !== partOf(ms)) return [...recent, { ms, count }];
  return [...recent.slice(0, -1), { ms, count: last.count + count }];
}

/** What a device is to have been ordered by this rollout; undefined: nothing. */
function wantedOrder({ plan }: StoredRollout, device: RolloutDevice): Order | undefined {
  const { revert, state, attempts } = device;
  const { id: rollout, release, soakMs, stepTimeoutMs } = plan;
  const order = { rollout, release, soakMs, stepTimeoutMs } as const;
  if (revert?.state === 'ordered') return { ...order, deed: 'revert' };
  if (revert !== undefined || attempts === 0) return undefined;
  // One that has it keeps its order: a device that loses all that it had gets it again.
  const isWanted = state === 'QUEUED' || state === 'IN_PROGRESS' || state === 'SUCCEEDED';
  return isWanted ? { ...order, deed: 'install' } : undefined;
}

/**
 * The orders that differ from those that are in place: to be given, or (undefined) to be taken back. An order of
 * another rollout is replaced only while the device is under way here, and is never taken back: a newer rollout that
 * had taken it over would have ended that. No more than a few hundred: the next look finds the others, and those that
 * were lost because the controller died before it gave them.
 */
export function ordersToGive(
  rollout: StoredRollout,
  devices: Iterable<RolloutDevice>,
  facts: Pick<Facts, 'of'>,
): Map<string, Order | undefined> {
  const orders = new Map<string, Order | undefined>();
  for (const device of devices) {
    if (device.attempts === 0) continue;
    if (orders.size >= MAX_AT_ONCE) break;
    const wanted = wantedOrder(rollout, device);
    const { order } = facts.of(device.device);
    const isOurs = order?.rollout === rollout.plan.id;
    if (wanted === undefined ? isOurs : isMissing(wanted, order, isOurs || !isFinal(device))) {
      orders.set(device.device, wanted);
    }
  }
  return orders;
}

function isMissing(wanted: Order, order: Order | undefined, mayReplace: boolean): boolean {
  if (order === undefined) return true;
  return mayReplace && (order.rollout !== wanted.rollout || order.deed !== wanted.deed);
}
