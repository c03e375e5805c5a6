import { given } from '../../shared/given.ts';
import type { Rollout, RolloutDetail, RolloutDeviceView, RolloutGate } from '../api/rollout-schemas.ts';
import type { Gate, Measured, RolloutDevice, StoredRollout } from '../store/rollout-store.ts';
import { isOver } from '../store/rollout-store.ts';
import { countStates, type RolloutDocument } from './advance.ts';
import { isFinal } from './device-step.ts';
import { formatGate, GATE_KINDS } from './gates.ts';
import { formatAbortRule, formatCanary, formatRate } from './grammar.ts';
import { judge } from './judge.ts';
import { deviceWaiting, type Waiting, type WaitingFacts, waitingOf } from './waiting.ts';

/** A rollout in a line. `facts` only of one that is not over. */
export function rolloutView({ rollout, devices }: RolloutDocument, facts: WaitingFacts | undefined): Rollout {
  const { plan, state, reason, stage, endedTs } = rollout;
  const waiting = facts === undefined ? undefined : waitingOf({ rollout, devices }, facts);
  return {
    id: plan.id,
    kind: plan.kind,
    release: { name: plan.release.name, version: plan.release.version },
    state,
    done: isDone({ rollout, devices }),
    stage: stage + 1,
    stages: plan.stages,
    counts: { ...(rollout.counts ?? countStates(devices.values())) },
    createdTs: plan.createdTs,
    ...given({
      reason,
      endedTs,
      waitsFor: waiting === undefined ? undefined : textOf(waiting, rollout, facts),
    }),
  };
}

function isDone({ rollout, devices }: RolloutDocument): boolean {
  const { plan, state, isJudged } = rollout;
  if (isOver(rollout)) return true;
  return state === 'running' && plan.isDynamic && isJudged && [...devices.values()].every(isFinal);
}

function textOf(
  { text, untilMs }: Waiting,
  { watchedMs }: StoredRollout,
  facts: WaitingFacts | undefined,
): string {
  if (untilMs === undefined || facts === undefined) return text;
  return `${text}, until ${new Date(deadlineOf(untilMs, watchedMs, facts.now)).toISOString()} at most`;
}

/** When it will be that time by the rollout's clock, if it is watched without a pause. */
function deadlineOf(untilMs: number, watchedMs: number, now: number): number {
  return now + Math.max(0, untilMs - watchedMs);
}

/** A rollout with all that is known of it. */
export function rolloutDetail(document: RolloutDocument, facts: WaitingFacts): RolloutDetail {
  const { rollout, devices } = document;
  const { plan, measured } = rollout;
  return {
    ...rolloutView(document, isOver(rollout) ? undefined : facts),
    plan: planView(plan),
    gates: plan.gates.map((gate, at) => gateView(gate, measured?.values[at])),
    ...given({ measuredTs: measured?.ts }),
    devices: [...devices.values()].map((device) => deviceView(device, rollout, facts)),
  };
}

function planView(plan: StoredRollout['plan']): RolloutDetail['plan'] {
  const { target, isDynamic, canary, rate, abort, maintenance, onAbort } = plan;
  const { soakMs, stepTimeoutMs, joinTimeoutMs, baselineMs } = plan;
  return {
    target: given({ ...target }),
    dynamic: isDynamic,
    canary: formatCanary(canary),
    ...{ soakMs, stepTimeoutMs, joinTimeoutMs, baselineMs, onAbort },
    ...given({
      rate: rate === undefined ? undefined : formatRate(rate),
      abort: abort === undefined ? undefined : formatAbortRule(abort),
      maintenance,
    }),
  };
}

const UNITS = { share: 'share', time: 'ms', energy: 'J', count: '' } as const;

function gateView(gate: Gate, measured: Measured | undefined): RolloutGate {
  const judged = judge(gate, measured);
  return {
    gate: formatGate(gate),
    unit: UNITS[GATE_KINDS[gate.metric]],
    count: measured?.count ?? 0,
    verdict: judged.verdict,
    ...given({ now: measured?.now, before: measured?.before }),
    ...(judged.verdict === 'unknown' ? { why: judged.why } : { limit: judged.limit }),
  };
}

function deviceView(device: RolloutDevice, rollout: StoredRollout, facts: WaitingFacts): RolloutDeviceView {
  const { stage, state, sinceTs, attempts, orderedTs, step, bytes, ofBytes } = device;
  const { activatedTs, crashes, agreement, profile, reason, revert } = device;
  const waiting = deviceWaiting(device, rollout, facts);
  const until = waiting?.untilMs;
  return {
    device: device.device,
    stage: stage + 1,
    ...{ state, sinceTs, attempts },
    online: facts.of(device.device).isOnline,
    ...given({ orderedTs, step, bytes, ofBytes, activatedTs, crashes }),
    ...given({ agreement, profile, reason, revert }),
    ...given({
      waitsFor: waiting?.text,
      deadlineTs: until === undefined ? undefined : deadlineOf(until, rollout.watchedMs, facts.now),
    }),
  };
}
