import type { Clock } from '../../shared/clock.ts';
import { describeError } from '../../shared/errors.ts';
import { argmax } from '../../shared/logits.ts';
import type { Requirement } from '../../shared/protocol/requirement.ts';
import type { Engine } from '../engine/engine.ts';
import type { Frame, FrameSource } from '../frames/source.ts';
import {
  DEFAULT_MISS_SHARE,
  type Decision,
  decide,
  initialState,
  type Limit,
  type ManagerState,
  type OperatingPoint,
  observe,
  type Profile,
} from './manager.ts';

/** One inference that was made, with the decision behind it. */
export interface InferenceMade {
  readonly point: OperatingPoint;
  readonly latencyMs: number;
  readonly missed: boolean;
  /** Whether the answer is the frame's label; undefined without a label. */
  readonly correct: boolean | undefined;
}

/** What the loop tells as it happens; each is called right after the inference that it speaks of. */
export interface LoopListener {
  inference(made: InferenceMade): void;
  switched(from: OperatingPoint, to: OperatingPoint, decision: Decision): void;
  violation(limit: Limit, state: 'begins' | 'ends', decision: Decision): void;
  skipped(frames: number): void;
  unreadable(reason: string): void;
  failed(reason: string): void;
}

export interface LoopDeps {
  readonly engine: Engine;
  readonly frames: FrameSource;
  readonly profile: Profile;
  readonly clock: Clock;
  /** The requirement and frame rate in force, asked before every frame. */
  readonly inForce: () => { readonly requirement: Requirement; readonly frameRate: number };
  readonly listener: LoopListener;
}

/** The inference loop of an agent. */
export interface FrameLoop {
  run(signal: AbortSignal): Promise<void>;
  /** The manager's state, for telemetry and for people. */
  state(): ManagerState;
}

/** Makes the loop: frame -> decision -> inference -> observation, at the frame rate in force. */
export function createFrameLoop(deps: LoopDeps): FrameLoop {
  const { clock, listener, profile } = deps;
  let state = initialState();
  let violated: readonly Limit[] = [];

  const tellViolations = (decision: Decision): void => {
    for (const limit of decision.violated) {
      if (!violated.includes(limit)) listener.violation(limit, 'begins', decision);
    }
    for (const limit of violated) {
      if (!decision.violated.includes(limit)) listener.violation(limit, 'ends', decision);
    }
    violated = decision.violated;
  };

  const infer = async (frame: Frame, requirement: Requirement): Promise<void> => {
    const decision = decide(state, requirement, profile);
    const point = profile[decision.point];
    const before = state.current === undefined ? undefined : profile[state.current];
    if (point === undefined) return;
    const startedMs = clock.monoMs();
    const { logits } = await deps.engine.run(decision.point, frame.pixels);
    const nowMs = clock.monoMs();
    const latencyMs = nowMs - startedMs;
    const missShare = requirement.missShare ?? DEFAULT_MISS_SHARE;
    state = observe(state, {
      point: decision.point,
      latencyMs,
      profileMs: point.latencyMs,
      missShare,
      nowMs,
    });
    if (before !== undefined && before !== point) listener.switched(before, point, decision);
    tellViolations(decision);
    const missed = latencyMs > (requirement.latencyMs ?? Number.POSITIVE_INFINITY);
    const correct = frame.label === undefined ? undefined : argmax(logits) === frame.label;
    listener.inference({ point, latencyMs, missed, correct });
  };

  const oneFrame = async (): Promise<void> => {
    const { requirement } = deps.inForce();
    let frame: Frame;
    try {
      frame = await deps.frames.next();
    } catch (error) {
      listener.unreadable(describeError(error));
      return;
    }
    await infer(frame, requirement).catch((error: unknown) => listener.failed(describeError(error)));
  };

  const run = async (signal: AbortSignal): Promise<void> => {
    let dueMs = clock.monoMs();
    while (!signal.aborted) {
      await oneFrame();
      const periodMs = 1_000 / deps.inForce().frameRate;
      dueMs += periodMs;
      const behindMs = clock.monoMs() - dueMs;
      if (behindMs >= periodMs) {
        const frames = Math.floor(behindMs / periodMs);
        listener.skipped(frames);
        dueMs += frames * periodMs;
      }
      // Also when late: the event loop must turn, or a fast source would starve the link.
      await clock.sleep(Math.max(0, dueMs - clock.monoMs()), signal).catch(() => undefined);
    }
  };
  return { run, state: () => state };
}
