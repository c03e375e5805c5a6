import type { AbortRule, RolloutDevice, RolloutDeviceState, StoredRollout } from '../store/rollout-store.ts';
import { isFinal } from './device-step.ts';
import type { Facts } from './facts.ts';
import { formatGateValue, isToldByDevices } from './gates.ts';
import { formatAbortRule } from './grammar.ts';
import { isBeyondDoubt, judge, MIN_INFERENCES, whyBroken } from './judge.ts';

/** Telemetry is waited for this many windows, and this long beside, after the last device of a stage has ended. */
const GRACE_WINDOWS = 3;
const GRACE_MS = 15_000;
/** A device's first whole window arrives so long after it has ended. */
const ARRIVAL_MS = 5_000;

type Devices = ReadonlyMap<string, RolloutDevice>;

/** `settling`: all devices have ended, and the gates are not judged yet. */
export type StageVerdict =
  | { readonly kind: 'open' | 'settling' | 'unsettled' | 'done' }
  | { readonly kind: 'failed'; readonly reason: string };

/** The devices that were told to install while this stage was open and serve what they installed: gates are about them. */
export function cohortOf({ stage }: StoredRollout, devices: Devices): RolloutDevice[] {
  return [...devices.values()].filter(
    ({ orderedStage, activatedMs }) => orderedStage === stage && activatedMs !== undefined,
  );
}

/** Why a rollout must not go on: too many failures, or a gate that is broken beyond doubt. */
export function whyAbort(rollout: StoredRollout, devices: Devices, { measured }: Facts): string | undefined {
  const { plan, stage, isJudged } = rollout;
  const failures = plan.abort === undefined ? undefined : whyTooMany(plan.abort, devices);
  if (failures !== undefined || isJudged) return failures;
  const newest = measured?.stage === stage ? measured : rollout.measured;
  const index = plan.gates.findIndex((gate, at) => isBeyondDoubt(gate, newest?.values[at]));
  const gate = plan.gates[index];
  return gate === undefined ? undefined : `stage ${stage + 1}: ${whyBroken(gate, newest?.values[index])}`;
}

const FAILED_STATES: Readonly<Record<AbortRule['of'], readonly RolloutDeviceState[]>> = {
  failed: ['FAILED', 'REJECTED', 'TIMED_OUT'],
  rejected: ['REJECTED'],
  'timed-out': ['TIMED_OUT'],
};

/** Devices that never came to be asked say nothing about the release. */
function whyTooMany(rule: AbortRule, devices: Devices): string | undefined {
  const finished = [...devices.values()].filter(
    (device) =>
      isFinal(device) && device.attempts > 0 && device.state !== 'CANCELED' && device.state !== 'REMOVED',
  );
  if (finished.length < rule.min) return undefined;
  const failed = finished.filter(({ state }) => FAILED_STATES[rule.of].includes(state));
  const value = rule.isShare ? failed.length / finished.length : failed.length;
  const isBroken = rule.op === '>' ? value > rule.value : value >= rule.value;
  if (!isBroken || failed.length === 0) return undefined;
  const share = formatGateValue('miss', failed.length / finished.length);
  const counted = `${failed.length} of ${finished.length} devices (${share}) ${rule.of}`;
  return `${formatAbortRule(rule)}: ${counted}${firstReason(failed)}`;
}

function firstReason(failed: readonly RolloutDevice[]): string {
  const first = failed.find(({ reason }) => reason !== undefined);
  return first === undefined ? '' : `; ${first.device}: ${first.reason}`;
}

/** How the open stage stands. */
export function verdictOfStage(rollout: StoredRollout, devices: Devices, facts: Facts): StageVerdict {
  if (rollout.isJudged) return { kind: 'open' };
  const all = [...devices.values()].filter(({ stage }) => stage === rollout.stage);
  if (rollout.plan.isDynamic && all.length === 0) return { kind: 'unsettled' };
  const open = all.filter((device) => !isFinal(device));
  if (open.some(({ device }) => facts.of(device).isOnline)) return { kind: 'unsettled' };
  // Somebody of those who were told must show that it works; who had it already shows nothing.
  const told = all.filter(({ attempts }) => attempts > 0);
  if (!(told.length > 0 ? told : all).some(({ state }) => state === 'SUCCEEDED')) {
    // Who is offline may still come.
    return open.length > 0 ? { kind: 'unsettled' } : withoutSuccess(all, rollout);
  }
  return verdictOfGates(rollout, devices, facts);
}

/** Where nobody failed either, all were taken out of it: after the last stage that harms nobody. */
function withoutSuccess(all: readonly RolloutDevice[], { stage, plan }: StoredRollout): StageVerdict {
  const failed = all.filter(({ state }) => FAILED_STATES.failed.includes(state));
  if (failed.length === 0 && (stage + 1 >= plan.stages || all.length === 0)) return { kind: 'done' };
  const why = firstReason(failed.length > 0 ? failed : all);
  return { kind: 'failed', reason: `stage ${stage + 1}: none of ${all.length} devices succeeded${why}` };
}

/** Until when telemetry is waited for, by the rollout's clock. */
export function gateDeadlineMs(
  rollout: StoredRollout,
  cohort: readonly RolloutDevice[],
  facts: Facts,
): number {
  const { settledMs = rollout.watchedMs, plan } = rollout;
  return settledMs + Math.min(plan.stepTimeoutMs, GRACE_WINDOWS * longestWindowMs(cohort, facts) + GRACE_MS);
}

function longestWindowMs(cohort: readonly RolloutDevice[], facts: Facts): number {
  return cohort.reduce((longest, { device }) => Math.max(longest, facts.of(device).windowMs), 0);
}

function verdictOfGates(rollout: StoredRollout, devices: Devices, facts: Facts): StageVerdict {
  const { plan, settledMs, stage, watchedMs } = rollout;
  const cohort = cohortOf(rollout, devices);
  // Whoever had it already brought nothing about that could be measured.
  if (plan.gates.length === 0 || cohort.length === 0) return { kind: 'done' };
  if (settledMs === undefined) return { kind: 'settling' };
  const measured = rollout.measured?.stage === stage ? rollout.measured : undefined;
  const isOverdue = watchedMs >= gateDeadlineMs(rollout, cohort, facts);
  const isFresh = measured !== undefined && measured.ms >= readyMs(rollout, cohort, facts);
  const isEnough =
    isFresh &&
    plan.gates.every((gate, at) => {
      const { now, count = 0 } = measured.values[at] ?? {};
      return now !== undefined && (isToldByDevices(gate.metric) || count >= MIN_INFERENCES);
    });
  if (!isEnough && !isOverdue) return { kind: 'settling' };
  const index = plan.gates.findIndex((gate, at) => judge(gate, measured?.values[at]).verdict !== 'holds');
  const gate = plan.gates[index];
  if (gate === undefined) return { kind: 'done' };
  return { kind: 'failed', reason: `stage ${stage + 1}: ${whyBroken(gate, measured?.values[index])}` };
}

/** When the first whole window of the device that was last has arrived; what devices say themselves is there already. */
function readyMs(
  { plan, settledMs = 0 }: StoredRollout,
  cohort: readonly RolloutDevice[],
  facts: Facts,
): number {
  if (plan.gates.every(({ metric }) => isToldByDevices(metric))) return settledMs;
  const lastMs = cohort.reduce((last, { activatedMs = 0 }) => Math.max(last, activatedMs), 0);
  return Math.max(settledMs, lastMs + longestWindowMs(cohort, facts) + ARRIVAL_MS);
}
