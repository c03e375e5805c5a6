import type { Clock } from '../../shared/clock.ts';
import type { Logger } from '../../shared/log.ts';
import { confidenceOf } from '../../shared/logits.ts';
import type { Limit } from '../../shared/protocol/requirement.ts';
import { expectedOf, nameOf } from '../explain/record.ts';
import type { ExplainRing } from '../explain/ring.ts';
import { explainDecision } from '../explain/words.ts';
import type { OperationKnowledge, OperationListener } from '../operation/listener.ts';
import type { InferenceOutcome } from '../runtime/inference.ts';
import type { FrameAnswered } from '../runtime/loop.ts';
import type { OperatingPoint } from '../runtime/points.ts';
import type { EventLimiter } from './event-limiter.ts';
import type { DeviceGatherer } from './gauges.ts';
import type { InferenceSeen } from './point.ts';
import type { Recorder } from './recorder.ts';
import { createThrottleWatch } from './throttle.ts';
import type { WindowGatherer } from './window.ts';

export interface ListenerDeps {
  readonly gatherer: WindowGatherer;
  readonly device: DeviceGatherer;
  /** Memory of this process, bytes. */
  readonly rssBytes: () => number;
  readonly recorder: Recorder;
  readonly ring: ExplainRing;
  readonly clock: Clock;
  readonly log: Logger;
  /** Each kind has its own, so that none hides another. */
  readonly switchLimiter: EventLimiter;
  readonly violationLimiter: EventLimiter;
  readonly shedLimiter: EventLimiter;
  /** Log lines of frames that fail: a broken camera fails at every frame. */
  readonly logLimiter: EventLimiter;
}

/** What a listener goes by: what outlives families, and what one may be asked. */
interface Listening extends ListenerDeps, OperationKnowledge {}

/**
 * Makes what turns the words of inference loops into windows, events and the memory of decisions. Counts are
 * exact; events are limited in rate and say how many were held back. Families come and go, each with a listener
 * of its own; spells and limits of rate go on.
 */
export function createLoopListeners(
  deps: ListenerDeps,
): (knowledge: OperationKnowledge) => OperationListener {
  const { recorder, log } = deps;
  const told = new Set<Limit>();
  const throttleWatch = createThrottleWatch((event) => {
    log.warn({ state: event.state }, event.reason);
    recorder.event(event);
  });
  return (knowledge) => listenerOf({ ...deps, ...knowledge }, told, throttleWatch);
}

function listenerOf(
  deps: Listening,
  told: Set<Limit>,
  throttleWatch: ReturnType<typeof createThrottleWatch>,
): OperationListener {
  const { gatherer, recorder, log, ring, clock } = deps;
  return {
    inference: (answered) => {
      const { point, latencyMs, budgetMs, missed, nowMs } = answered;
      const { pe, level } = point;
      gatherer.inference(seenOf(answered, deps));
      const budget = Number.isFinite(budgetMs) ? budgetMs : undefined;
      ring.inference({ ts: clock.now(), monoMs: nowMs, pe, level, latencyMs, budgetMs: budget, missed });
    },
    switched: (from, done) => tellSwitch(deps, from, done),
    shed: (shed) => {
      gatherer.count('sheds');
      ring.decision({ ...shed, ts: clock.now() });
      const passed = deps.shedLimiter.pass();
      if (passed === undefined) return;
      const { timeLeftMs } = shed.decision;
      recorder.event({
        kind: 'shed',
        frames: 1 + passed.heldBack,
        reason: reasonOf(shed),
        ...(Number.isFinite(timeLeftMs) ? { timeLeftMs } : {}),
        ...expectedOf(shed.decision),
        slowdown: deps.view().slowdown,
      });
    },
    violation: (limit, state, outcome) => tellViolation(deps, { limit, state, outcome }, told),
    skipped: (frames) => gatherer.count('skipped', frames),
    unreadable: (reason) => {
      gatherer.count('unreadable');
      if (deps.logLimiter.pass() !== undefined) log.warn(`frame skipped: ${reason}`);
    },
    failed: (reason) => {
      gatherer.count('failed');
      if (deps.logLimiter.pass() !== undefined) log.error(`inference failed: ${reason}`);
    },
    audited: (audited) => gatherer.audited(audited),
    reading: (reading, queue) => {
      throttleWatch(reading);
      deps.device.add({ reading, queue, rssBytes: deps.rssBytes() });
    },
  };
}

function seenOf(
  { point, index, latencyMs, runMs, missed, correct, logits, nowMs }: FrameAnswered,
  { energyOf }: Listening,
): InferenceSeen {
  return {
    pe: point.pe,
    level: point.level,
    latencyMs,
    runMs,
    profileMs: point.latencyMs > 0 ? point.latencyMs : undefined,
    energyJ: energyOf(index, runMs),
    confidence: confidenceOf(logits),
    missed,
    correct,
    nowMs,
  };
}

function reasonOf({ decision, requirement, profile }: InferenceOutcome): string {
  return explainDecision(decision, requirement, profile);
}

function measuredOf(outcome: InferenceOutcome) {
  return outcome.kind === 'done' ? { outcome: { latencyMs: outcome.latencyMs, missed: outcome.missed } } : {};
}

function tellSwitch(
  { gatherer, recorder, ring, clock, log, switchLimiter, view }: Listening,
  from: OperatingPoint,
  done: Extract<InferenceOutcome, { kind: 'done' }>,
): void {
  gatherer.count('switches');
  const { decision, requirement, profile, point } = done;
  ring.decision({
    kind: 'switch',
    ts: clock.now(),
    decision,
    requirement,
    profile,
    from,
    ...measuredOf(done),
  });
  const passed = switchLimiter.pass();
  if (passed === undefined) return;
  const reason = reasonOf(done);
  log.debug({ from: nameOf(from), to: nameOf(point) }, reason);
  recorder.event({
    kind: 'switch',
    from: nameOf(from),
    to: nameOf(point),
    reason,
    unreported: passed.heldBack,
    ...expectedOf(decision),
    slowdown: view().slowdown,
  });
}

interface Violation {
  readonly limit: Limit;
  readonly state: 'begins' | 'ends';
  readonly outcome: InferenceOutcome;
}

/**
 * @param told limits of which the last word was that they cannot be met: its end is told in any case, or
 * whoever heard of the begin would wait for it for ever
 */
function tellViolation(
  { recorder, ring, clock, log, violationLimiter, view }: Listening,
  { limit, state, outcome }: Violation,
  told: Set<Limit>,
): void {
  const { decision, requirement, profile } = outcome;
  const violation = { limit, state };
  const kind = 'violation';
  ring.decision({
    kind,
    ts: clock.now(),
    decision,
    requirement,
    profile,
    violation,
    ...measuredOf(outcome),
  });
  const isAwaited = state === 'ends' && told.delete(limit);
  const passed = violationLimiter.pass() ?? (isAwaited ? { heldBack: 0 } : undefined);
  if (passed === undefined) return;
  if (state === 'begins') told.add(limit);
  const reason = reasonOf(outcome);
  log.warn(violation, reason);
  recorder.event({
    kind,
    ...violation,
    reason,
    unreported: passed.heldBack,
    ...expectedOf(decision),
    slowdown: view().slowdown,
  });
}
