import type { Order } from '../../shared/protocol/release.ts';
import { isOver, type RolloutDevice, type StoredRollout } from '../store/rollout-store.ts';
import { isFinal, isReverting, stepDevice } from './device-step.ts';
import { end } from './end.ts';
import type { Facts } from './facts.ts';
import { allowance, MAX_AT_ONCE, ordersToGive, withGiven } from './orders.ts';
import { verdictOfStage, whyAbort } from './stage.ts';

/** A rollout with its devices, in the order of their places. */
export interface RolloutDocument {
  readonly rollout: StoredRollout;
  readonly devices: ReadonlyMap<string, RolloutDevice>;
}

export interface Advance extends RolloutDocument {
  /** Devices that are not as they were. */
  readonly changed: readonly RolloutDevice[];
  /** Orders to give, or (undefined) to take back. */
  readonly orders: ReadonlyMap<string, Order | undefined>;
  /** Looking again at once leads further. */
  readonly isMoving: boolean;
}

/**
 * Takes a rollout as far as what is known leads. Pure, and the same facts again change nothing. States only move
 * forward; at most one stage is opened; a rollout is over only once no order of it is left to be given or taken back.
 */
export function advance(before: RolloutDocument, facts: Facts): Advance {
  if (isOver(before.rollout)) return { ...before, changed: [], orders: new Map(), isMoving: false };
  const watched = watch(before, facts);
  const stepped = stepDevices(watched, facts);
  const decided = decide(stepped, facts);
  // Who is of a stage that opens now is looked at first: it may have the release already.
  const ordered = giveOrders(decided, stepped.rollout.stage, facts);
  const orders = ordersToGive(ordered.rollout, ordered.devices.values(), facts);
  const after = orders.size === 0 ? finish(ordered, facts) : ordered;
  const changed = [...after.devices.values()].filter(
    (device) => device !== before.devices.get(device.device),
  );
  const isMoving = orders.size > 0 || changed.length > 0 || !isSameState(before.rollout, after.rollout);
  return { ...after, changed, orders, isMoving };
}

function isSameState(a: StoredRollout, b: StoredRollout): boolean {
  return (
    a.state === b.state && a.stage === b.stage && a.isJudged === b.isJudged && a.settledMs === b.settledMs
  );
}

/** The rollout's own clock goes on while it is watched and not paused. */
function watch({ rollout, devices }: RolloutDocument, { elapsedMs, measured }: Facts): RolloutDocument {
  const watchedMs = rollout.watchedMs + (rollout.state === 'paused' ? 0 : Math.max(0, elapsedMs));
  const isNews = measured !== undefined && measured.stage === rollout.stage;
  return { rollout: { ...rollout, watchedMs, ...(isNews && { measured }) }, devices };
}

function stepDevices({ rollout, devices }: RolloutDocument, facts: Facts): RolloutDocument {
  const next = new Map<string, RolloutDevice>();
  for (const [id, device] of devices) {
    next.set(id, stepDevice(device, { rollout, facts: facts.of(id), now: facts.now }));
  }
  if (rollout.state !== 'running') return { rollout, devices: next };
  for (const id of facts.joining)
    next.set(id, joinedDevice(id, { rollout, place: next.size, now: facts.now }));
  return { rollout, devices: next };
}

/** Who comes to a dynamic rollout is of its last stage. */
function joinedDevice(
  device: string,
  { rollout, place, now }: { readonly rollout: StoredRollout; readonly place: number; readonly now: number },
): RolloutDevice {
  const stage = rollout.plan.stages - 1;
  return { device, place, stage, state: 'QUEUED', sinceTs: now, attempts: 0 };
}

/** Whether it goes on as it is, opens a stage, or ends before its time. */
function decide(document: RolloutDocument, facts: Facts): RolloutDocument {
  const { rollout, devices } = document;
  if (rollout.state !== 'running' && rollout.state !== 'paused') return document;
  const why = whyAbort(rollout, devices, facts);
  if (why !== undefined)
    return end(document, { deed: 'abort', reason: why, mode: rollout.plan.onAbort, now: facts.now });
  if (rollout.state === 'paused') return document;
  const verdict = verdictOfStage(rollout, devices, facts);
  switch (verdict.kind) {
    case 'open':
      return document;
    case 'settling':
      return rollout.settledMs === undefined
        ? { rollout: { ...rollout, settledMs: rollout.watchedMs }, devices }
        : document;
    case 'unsettled':
      return { rollout: unsettled(rollout), devices };
    case 'failed':
      return end(document, {
        deed: 'abort',
        reason: verdict.reason,
        mode: rollout.plan.onAbort,
        now: facts.now,
      });
    case 'done':
      return { rollout: nextStage(rollout, facts.now), devices };
  }
}

function unsettled(rollout: StoredRollout): StoredRollout {
  if (rollout.settledMs === undefined) return rollout;
  const { settledMs: _settled, ...rest } = rollout;
  return rest;
}

function nextStage(rollout: StoredRollout, now: number): StoredRollout {
  if (rollout.stage + 1 >= rollout.plan.stages) return { ...rollout, isJudged: true };
  const { measured: _measured, ...rest } = unsettled(rollout);
  return { ...rest, stage: rollout.stage + 1, stageTs: now, isJudged: false };
}

/** Tells the next devices to install: of open stages, online, in their order, no faster than the rate. */
function giveOrders(document: RolloutDocument, stage: number, facts: Facts): RolloutDocument {
  const { rollout, devices } = document;
  if (rollout.state !== 'running' || !facts.mayOrder) return document;
  const { plan, given, watchedMs } = rollout;
  const isNext = (device: RolloutDevice): boolean =>
    device.state === 'QUEUED' && device.attempts === 0 && device.stage <= stage && isFree(facts, device);
  const waiting = [...devices.values()].filter(isNext);
  const chosen = waiting.slice(0, Math.min(MAX_AT_ONCE, allowance(plan.rate, given, watchedMs)));
  if (chosen.length === 0) return document;
  const next = new Map(devices);
  for (const device of chosen) next.set(device.device, orderedDevice(device, rollout, facts));
  const noted = withGiven(plan.rate, given, { ms: watchedMs, count: chosen.length });
  return { rollout: { ...rollout, given: noted }, devices: next };
}

function isFree(facts: Facts, { device }: RolloutDevice): boolean {
  const { isOnline, isTarget } = facts.of(device);
  return isOnline && isTarget;
}

function orderedDevice(device: RolloutDevice, rollout: StoredRollout, facts: Facts): RolloutDevice {
  const { offlineMs: _offline, ...rest } = device;
  return {
    ...rest,
    attempts: device.attempts + 1,
    orderedTs: facts.now,
    orderedStage: rollout.stage,
    progressMs: rollout.watchedMs,
    hadGpu: (facts.of(device.device).gpuPoints ?? 0) > 0,
  };
}

const ENDS = { aborting: 'aborted', undoing: 'undone' } as const;

/** It is over once its last stage holds, or everything that was to go back has. */
function finish(document: RolloutDocument, { now }: Facts): RolloutDocument {
  const { rollout, devices } = document;
  const { state, plan, stage, isJudged } = rollout;
  const all = [...devices.values()];
  if (state === 'aborting' || state === 'undoing') {
    if (all.some((device) => isReverting(device) || !isFinal(device))) return document;
    return { rollout: { ...rollout, state: ENDS[state], endedTs: now, counts: countStates(all) }, devices };
  }
  const isLast = stage + 1 === plan.stages && isJudged;
  if (state !== 'running' || !isLast || plan.isDynamic || !all.every(isFinal)) return document;
  return { rollout: { ...rollout, state: 'completed', endedTs: now, counts: countStates(all) }, devices };
}

/** How many devices are in each state; states without devices are left out. */
export function countStates(devices: Iterable<RolloutDevice>): Record<string, number> {
  const counts: Record<string, number> = {};
  for (const { state } of devices) counts[state] = (counts[state] ?? 0) + 1;
  return counts;
}
