import type { Logger } from '../../shared/log.ts';
import type { Requirement } from '../../shared/protocol/requirement.ts';
import type { LoopListener } from '../runtime/loop.ts';
import type { OperatingPoint } from '../runtime/manager.ts';
import { explainDecision } from '../runtime/manager.ts';
import type { EventLimiter } from './event-limiter.ts';
import type { Recorder } from './recorder.ts';
import type { WindowGatherer } from './window.ts';

export interface ListenerDeps {
  readonly gatherer: WindowGatherer;
  readonly recorder: Recorder;
  readonly log: Logger;
  readonly requirement: () => Requirement;
  /** Switches and violations each have their own, so that neither hides the other. */
  readonly switchLimiter: EventLimiter;
  readonly violationLimiter: EventLimiter;
  /** Log lines of frames that fail: a broken camera fails at every frame. */
  readonly logLimiter: EventLimiter;
}

const pointOf = ({ pe, level }: OperatingPoint) => ({ pe, level });

/** Turns what the inference loop tells into windows and events. Counts are exact; events are limited in rate. */
export function createLoopListener(deps: ListenerDeps): LoopListener {
  const { gatherer, recorder, log } = deps;
  return {
    inference: ({ point, latencyMs, missed, correct }) => {
      gatherer.inference({ pe: point.pe, level: point.level, latencyMs, missed, correct });
    },
    switched: (from, to, decision) => {
      gatherer.count('switches');
      const reason = explainDecision(decision, deps.requirement());
      log.debug({ from: from.level, to: to.level }, reason);
      const passed = deps.switchLimiter.pass();
      if (passed === undefined) return;
      recorder.event({
        kind: 'switch',
        from: pointOf(from),
        to: pointOf(to),
        reason,
        unreported: passed.heldBack,
      });
    },
    violation: (limit, state, decision) => {
      const reason = explainDecision(decision, deps.requirement());
      if (deps.violationLimiter.pass() === undefined) return;
      log.warn({ limit, state }, reason);
      recorder.event({ kind: 'violation', limit, state, reason });
    },
    skipped: (frames) => gatherer.count('skipped', frames),
    unreadable: (reason) => {
      gatherer.count('unreadable');
      if (deps.logLimiter.pass() !== undefined) log.warn(`frame skipped: ${reason}`);
    },
    failed: (reason) => {
      gatherer.count('failed');
      if (deps.logLimiter.pass() !== undefined) log.error(`inference failed: ${reason}`);
    },
  };
}
