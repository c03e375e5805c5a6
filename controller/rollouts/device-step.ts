import { isDeepStrictEqual } from 'node:util';
import { given } from '../../shared/given.ts';
import { INSTALL_STEPS, type InstallReport, type InstallStep } from '../../shared/protocol/release.ts';
import { formatDurationMs } from '../../shared/units.ts';
import type { RolloutDevice, RolloutDeviceState, StoredRollout } from '../store/rollout-store.ts';
import type { DeviceFacts } from './facts.ts';

/** States that a device does not leave. */
export function isFinal({ state }: Pick<RolloutDevice, 'state'>): boolean {
  return state !== 'QUEUED' && state !== 'IN_PROGRESS';
}

/** It is going back, or is to. */
export function isReverting({ revert }: Pick<RolloutDevice, 'revert'>): boolean {
  return revert?.state === 'waiting' || revert?.state === 'ordered';
}

/** What a device's next step goes by. */
export interface StepContext {
  readonly rollout: StoredRollout;
  readonly facts: DeviceFacts;
  readonly now: number;
}

/** What has become of a device since it was looked at last. The same object where nothing has. */
export function stepDevice(device: RolloutDevice, context: StepContext): RolloutDevice {
  if (isReverting(device)) return stepRevert(device, context);
  if (isFinal(device)) return device;
  const { rollout, facts, now } = context;
  if (!facts.isTarget) return ended(device, { state: 'REMOVED', reason: removedBecause(rollout), now });
  if (device.attempts === 0) return stepQueued(device, context);
  const { install } = facts;
  const isAnswer = install?.rollout === rollout.plan.id && install.deed === 'install';
  const heard = isAnswer ? afterReport(device, install, context) : device;
  if (isFinal(heard)) return heard;
  return withDeadline(heard, context);
}

function removedBecause({ plan }: StoredRollout): string {
  return plan.isDynamic ? 'it is no longer selected' : 'it has left the fleet';
}

/** Ends a device's part, with the reason. */
export function ended(
  device: RolloutDevice,
  end: { readonly state: RolloutDeviceState; readonly reason?: string | undefined; readonly now: number },
): RolloutDevice {
  const { offlineMs: _offline, progressMs: _progress, reason: _reason, ...rest } = device;
  const { state, reason, now } = end;
  return { ...rest, state, sinceTs: now, ...(reason === undefined ? {} : { reason }) };
}

function stepQueued(device: RolloutDevice, context: StepContext): RolloutDevice {
  const { rollout, facts, now } = context;
  if (device.stage > rollout.stage) return device;
  if (hasAlready(rollout, facts)) return ended(device, { state: 'SUCCEEDED', reason: 'has it already', now });
  if (facts.busyWith !== undefined) {
    return ended(device, { state: 'CANCELED', reason: `rollout ${facts.busyWith} has it`, now });
  }
  return withDeadline(device, context);
}

/** It runs the release and has committed it. */
function hasAlready({ plan }: StoredRollout, { install, familySha256 }: DeviceFacts): boolean {
  const isSettled = install?.state !== 'in-progress';
  if (plan.familySha256 !== undefined && familySha256 === plan.familySha256) return isSettled;
  const isOf = install?.name === plan.release.name && install.version === plan.release.version;
  return plan.kind === 'program' && isOf && install.deed === 'install' && install.state === 'succeeded';
}

function withDeadline(device: RolloutDevice, context: StepContext): RolloutDevice {
  const { device: waiting, overdue } = waitFor(device, context);
  if (overdue === undefined) return waiting;
  return ended(waiting, { state: 'TIMED_OUT', reason: overdue, now: context.now });
}

interface Waiting {
  readonly device: RolloutDevice;
  /** Why it is waited for no longer. */
  readonly overdue?: string;
}

/** Waits for a device that is offline to come back, and for one that has an order to get on with it. */
function waitFor(device: RolloutDevice, { rollout, facts }: StepContext): Waiting {
  const { watchedMs, plan } = rollout;
  if (!facts.isOnline) {
    const { offlineMs = watchedMs } = device;
    const away = device.offlineMs === offlineMs ? device : { ...device, offlineMs };
    if (watchedMs - offlineMs < plan.joinTimeoutMs) return { device: away };
    return {
      device,
      overdue: `offline: it did not come back within ${formatDurationMs(plan.joinTimeoutMs)}`,
    };
  }
  const online = backOnline(device, watchedMs);
  const { progressMs = watchedMs, attempts, isHeard, step = 'fetching' } = online;
  if (attempts === 0 || watchedMs - progressMs < stepLimitMs(online, rollout)) return { device: online };
  const within = formatDurationMs(plan.stepTimeoutMs);
  const answered = isHeard === true && !isReverting(device);
  const overdue = answered
    ? `no progress for ${within} in step ${step}`
    : `no answer to its order within ${within}`;
  return { device: online, overdue };
}

/** Online again: the time that it was away does not count against it. */
function backOnline(device: RolloutDevice, watchedMs: number): RolloutDevice {
  if (device.offlineMs === undefined) return device;
  const { offlineMs, ...rest } = device;
  const { progressMs } = rest;
  return progressMs === undefined ? rest : { ...rest, progressMs: progressMs + watchedMs - offlineMs };
}

/** How long a device may make no progress; while it soaks, that is what it is to do. */
export function stepLimitMs(device: RolloutDevice, { plan }: StoredRollout): number {
  const isSoaking = device.step === 'soaking' && !isReverting(device);
  return plan.stepTimeoutMs + (isSoaking ? plan.soakMs : 0);
}

const STATES = {
  'in-progress': 'IN_PROGRESS',
  succeeded: 'SUCCEEDED',
  failed: 'FAILED',
  rejected: 'REJECTED',
} as const;

function afterReport(device: RolloutDevice, report: InstallReport, context: StepContext): RolloutDevice {
  const { rollout, now } = context;
  const detailed = withDetail(device, report, rollout.watchedMs);
  const state = STATES[report.state];
  if (state !== 'IN_PROGRESS') return ended(detailed, { state, reason: report.reason, now });
  if (device.state === 'IN_PROGRESS') return detailed;
  return { ...detailed, state, sinceTs: now, isHeard: true };
}

const indexOf = (step: InstallStep | undefined): number =>
  step === undefined ? -1 : INSTALL_STEPS.indexOf(step);

/** The device's own words. Only what never was before is progress: one that goes round in circles makes none. */
function withDetail(device: RolloutDevice, report: InstallReport, watchedMs: number): RolloutDevice {
  const { step, ofBytes, agreement, profile, activatedTs, reason } = report;
  const isLaterStep = indexOf(step) > indexOf(device.step);
  const hasMore = (report.bytes ?? 0) > (device.bytes ?? 0);
  const next: RolloutDevice = {
    ...device,
    isHeard: true,
    ...((isLaterStep || hasMore || device.isHeard !== true) && { progressMs: watchedMs }),
    ...(isLaterStep && { step }),
    ...(serves(report) && device.activatedMs === undefined && { activatedMs: watchedMs }),
    ...given({
      bytes: mostOf(device.bytes, report.bytes),
      crashes: mostOf(device.crashes, report.crashes),
      ...{ ofBytes, agreement, profile, activatedTs, reason },
    }),
  };
  return isSame(device, next) ? device : next;
}

function serves({ step, state, activatedTs }: InstallReport): boolean {
  if (activatedTs !== undefined) return true;
  return indexOf(step) >= indexOf('soaking') || state === 'succeeded';
}

function mostOf(a: number | undefined, b: number | undefined): number | undefined {
  return a === undefined || b === undefined ? (a ?? b) : Math.max(a, b);
}

/** Whether nothing in `next` differs; of ten thousand devices, hardly one has anything new. */
function isSame(device: RolloutDevice, next: RolloutDevice): boolean {
  return Object.entries(next).every(([key, value]) => {
    const old: unknown = Reflect.get(device, key);
    return old === value || (typeof value === 'object' && isDeepStrictEqual(old, value));
  });
}

function stepRevert(device: RolloutDevice, context: StepContext): RolloutDevice {
  const { rollout, facts, now } = context;
  if (!facts.isTarget && !rollout.plan.isDynamic)
    return reverted(device, 'failed', now, 'it has left the fleet');
  const { order, install, busyWith } = facts;
  const other = order !== undefined && order.rollout !== rollout.plan.id ? order.rollout : busyWith;
  if (other !== undefined) return reverted(device, 'skipped', now, `rollout ${other} has it`);
  if (device.revert?.state === 'waiting') {
    return reverted({ ...device, progressMs: rollout.watchedMs }, 'ordered', now);
  }
  const isAnswer = install?.rollout === rollout.plan.id && install.deed === 'revert';
  if (isAnswer && install.state === 'succeeded') return reverted(device, 'done', now, install.reason);
  if (isAnswer && install.state !== 'in-progress') return reverted(device, 'failed', now, install.reason);
  const { device: waiting, overdue } = waitFor(device, context);
  return overdue === undefined ? waiting : reverted(waiting, 'timed-out', now, overdue);
}

type Revert = NonNullable<RolloutDevice['revert']>;

function reverted(
  device: RolloutDevice,
  state: Revert['state'],
  now: number,
  reason?: string,
): RolloutDevice {
  return { ...device, revert: { state, sinceTs: now, ...(reason === undefined ? {} : { reason }) } };
}
