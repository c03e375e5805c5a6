import type { RolloutDevice, StoredRollout } from '../store/rollout-store.ts';
import { isOver } from '../store/rollout-store.ts';
import type { RolloutDocument } from './advance.ts';
import { isFinal, isReverting, stepLimitMs } from './device-step.ts';
import type { Facts } from './facts.ts';
import { formatRate } from './grammar.ts';
import { allowance } from './orders.ts';
import { cohortOf, gateDeadlineMs } from './stage.ts';

/** What is waited for, in words, and until when at most by the rollout's clock; nothing waits without one of both. */
export interface Waiting {
  readonly text: string;
  readonly untilMs?: number;
}

export interface WaitingFacts extends Facts {
  /** When the next maintenance window opens. */
  readonly opensTs?: number | undefined;
}

/** What a rollout waits for; undefined once it is over. */
export function waitingOf({ rollout, devices }: RolloutDocument, facts: WaitingFacts): Waiting | undefined {
  if (isOver(rollout)) return undefined;
  const all = [...devices.values()];
  if (rollout.state === 'aborting' || rollout.state === 'undoing') {
    const back = all.filter(isReverting);
    return inWords(`${back.length} of ${devicesText(all.length)} to go back`, [rollout, back, facts]);
  }
  if (rollout.state === 'paused') return { text: 'an operator to resume it' };
  const open = all.filter((device) => !isFinal(device) && device.stage <= rollout.stage);
  if (open.length === 0) return waitingForGates({ rollout, devices }, facts);
  const unordered = open.filter(({ device, attempts }) => attempts === 0 && facts.of(device).isOnline);
  if (unordered.length > 0 && !facts.mayOrder) return { text: windowText(facts) };
  const { plan, given, watchedMs } = rollout;
  if (plan.rate !== undefined && unordered.length > 0 && allowance(plan.rate, given, watchedMs) === 0) {
    return { text: `its rate of ${formatRate(plan.rate)}, with ${devicesText(unordered.length)} to come` };
  }
  return inWords(`${devicesText(open.length)} of ${stageText(rollout)}`, [rollout, open, facts]);
}

function devicesText(count: number): string {
  return count === 1 ? '1 device' : `${count} devices`;
}

function stageText({ stage, plan }: StoredRollout): string {
  return `stage ${stage + 1} of ${plan.stages}`;
}

function windowText({ opensTs }: WaitingFacts): string {
  const when = opensTs === undefined ? '' : `, which opens at ${new Date(opensTs).toISOString()}`;
  return `its maintenance window${when}`;
}

function inWords(
  text: string,
  [rollout, waiting, facts]: readonly [StoredRollout, readonly RolloutDevice[], Facts],
): Waiting {
  const offline = waiting.filter(({ device }) => !facts.of(device).isOnline).length;
  const untils = waiting.flatMap((device) => deviceWaiting(device, rollout, facts)?.untilMs ?? []);
  const until = untils.length === 0 ? {} : { untilMs: untils.reduce((a, b) => Math.max(a, b)) };
  return { text: offline === 0 ? text : `${text}, ${offline} of them offline`, ...until };
}

function waitingForGates({ rollout, devices }: RolloutDocument, facts: Facts): Waiting {
  const { plan, isJudged, settledMs } = rollout;
  if (isJudged) {
    return plan.isDynamic ? { text: 'devices that join it' } : { text: 'its end to be stored' };
  }
  if (settledMs === undefined) {
    return {
      text: plan.isDynamic && devices.size === 0 ? 'devices that join it' : `${stageText(rollout)} to end`,
    };
  }
  const untilMs = gateDeadlineMs(rollout, cohortOf(rollout, devices), facts);
  return { text: `telemetry for the gates of ${stageText(rollout)}`, untilMs };
}

/** What a device of a rollout waits for; undefined once nothing more happens to it. */
export function deviceWaiting(
  device: RolloutDevice,
  rollout: StoredRollout,
  facts: WaitingFacts,
): Waiting | undefined {
  const { isOnline } = facts.of(device.device);
  if (isOver(rollout) || (isFinal(device) && !isReverting(device))) return undefined;
  const isNext = device.stage <= rollout.stage || isReverting(device);
  if (!isNext) return { text: `stage ${device.stage + 1}` };
  const { plan, watchedMs } = rollout;
  if (!isOnline)
    return { text: 'the device to come back', untilMs: (device.offlineMs ?? watchedMs) + plan.joinTimeoutMs };
  if (device.revert?.state === 'waiting') return { text: 'its order to go back' };
  if (device.attempts === 0) return { text: whyUnordered(rollout, facts) };
  const untilMs = (device.progressMs ?? watchedMs) + stepLimitMs(device, rollout);
  if (isReverting(device)) return { text: 'the device to go back', untilMs };
  return { text: device.isHeard === true ? 'the device to get on' : 'an answer to its order', untilMs };
}

function whyUnordered({ state }: StoredRollout, facts: WaitingFacts): string {
  if (state === 'paused') return 'an operator to resume the rollout';
  return facts.mayOrder ? 'its turn' : windowText(facts);
}
