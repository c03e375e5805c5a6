import type { Clock } from '../../shared/clock.ts';
import { describeError } from '../../shared/errors.ts';
import { argmax } from '../../shared/logits.ts';
import type { Limit } from '../../shared/protocol/requirement.ts';
import type { Frame, FrameSource } from '../frames/source.ts';
import type { InferenceDone, InferenceOutcome, Inferencer, InferenceShed } from './inference.ts';
import type { OperatingPoint } from './points.ts';

/** One inference that was made. */
export interface FrameAnswered extends InferenceDone {
  /** Whether the answer is the frame's label; undefined without a label. */
  readonly correct: boolean | undefined;
  readonly pixels: Uint8Array;
}

/** What the loop tells as it happens; each is called right after the inference that it speaks of. */
export interface LoopListener {
  inference(answered: FrameAnswered): void;
  switched(from: OperatingPoint, done: InferenceDone): void;
  shed(shed: InferenceShed): void;
  /** A limit cannot be met from now on, or can be met again. */
  violation(limit: Limit, state: 'begins' | 'ends', outcome: InferenceOutcome): void;
  skipped(frames: number): void;
  unreadable(reason: string): void;
  failed(reason: string): void;
}

export interface LoopDeps {
  readonly inferencer: Inferencer;
  readonly frames: Pick<FrameSource, 'next'>;
  readonly clock: Clock;
  /** Frames per second in force, asked before every frame. */
  readonly frameRate: () => number;
  readonly listener: LoopListener;
  /**
   * Does a piece of the work that waits for idle time, if there is one for so many milliseconds; 0 when the next
   * frame is due already. It never rejects.
   */
  readonly idle: (leftMs: number) => Promise<void>;
}

/** What a loop leaves to the one that goes on in its place. */
export interface Handover {
  /** Monotonic time at which the next frame is due. */
  readonly dueMs: number;
  /** Limits that cannot be met, and when each gave way last: their spells do not end with the loop. */
  readonly violatedMs: ReadonlyMap<Limit, number>;
}

/** The inference loop of an agent. */
export interface FrameLoop {
  /**
   * Answers frames until the signal aborts; the frame that is under way then is answered first.
   * @param from what the loop before this one left: the first frame is due when its next one was
   */
  run(signal: AbortSignal, from?: Handover): Promise<Handover>;
  /** Until the next frame is due, milliseconds; 0 while one is being answered. */
  leftMs(): number;
  /** Whether a piece of idle work is under way. */
  isDoingIdleWork(): boolean;
}

/** Makes the loop: frame -> decision -> inference -> observation, at the frame rate in force. */
export function createFrameLoop(deps: LoopDeps): FrameLoop {
  const { clock, listener } = deps;
  const tell = createTeller(listener);
  let nextDueMs = Number.NEGATIVE_INFINITY;
  let isDoingIdleWork = false;

  const oneFrame = async (dueMs: number | undefined): Promise<void> => {
    let frame: Frame;
    try {
      frame = await deps.frames.next();
    } catch (error) {
      listener.unreadable(describeError(error));
      return;
    }
    const arrivedMs = dueMs ?? clock.monoMs();
    const { pixels, label } = frame;
    const outcome = await deps.inferencer.infer({ pixels, arrivedMs });
    tell.outcome(outcome, pixels, label);
  };

  const idleWork = async (leftMs: number): Promise<void> => {
    isDoingIdleWork = true;
    try {
      await deps.idle(leftMs);
    } finally {
      isDoingIdleWork = false;
    }
  };

  /** @returns since when the frame has waited, if it has */
  const untilDue = async (dueMs: number, signal: AbortSignal): Promise<number | undefined> => {
    // A frame that finds the device busy has been waiting since it was due; else it arrives when it is read.
    const waitingSinceMs = clock.monoMs() > dueMs ? dueMs : undefined;
    // Also when late: the event loop must turn, or a fast source would starve the link.
    await clock.sleep(Math.max(0, dueMs - clock.monoMs()), signal).catch(() => undefined);
    nextDueMs = Number.NEGATIVE_INFINITY;
    return waitingSinceMs;
  };

  const run = async (signal: AbortSignal, from?: Handover): Promise<Handover> => {
    let dueMs = from?.dueMs ?? clock.monoMs();
    tell.goOn(from?.violatedMs);
    if (from !== undefined) nextDueMs = dueMs;
    let waitingSinceMs = from === undefined ? undefined : await untilDue(dueMs, signal);
    while (!signal.aborted) {
      await oneFrame(waitingSinceMs).catch((error: unknown) => listener.failed(describeError(error)));
      const periodMs = 1_000 / deps.frameRate();
      dueMs += periodMs;
      const behindMs = clock.monoMs() - dueMs;
      if (behindMs >= periodMs) {
        const frames = Math.floor(behindMs / periodMs);
        listener.skipped(frames);
        dueMs += frames * periodMs;
      }
      nextDueMs = dueMs;
      if (!signal.aborted) await idleWork(Math.max(0, dueMs - clock.monoMs()));
      waitingSinceMs = await untilDue(dueMs, signal);
    }
    return { dueMs, violatedMs: tell.violatedMs() };
  };
  return {
    run,
    leftMs: () => Math.max(0, nextDueMs - clock.monoMs()),
    isDoingIdleWork: () => isDoingIdleWork,
  };
}

/** A limit that is met for a moment is not met again: a spell of violation ends when none was for so long. */
const SPELL_ENDS_MS = 2_000;

/** Turns outcomes into what is told: inferences, switches, and limits that begin or end to be broken. */
function createTeller(listener: LoopListener) {
  /** When each limit that is broken gave way last. */
  let violatedMs = new Map<Limit, number>();
  let point: OperatingPoint | undefined;

  const tellViolations = (outcome: InferenceOutcome): void => {
    const { gaveWay } = outcome.decision;
    for (const limit of gaveWay) {
      const isNew = !violatedMs.has(limit);
      violatedMs.set(limit, outcome.nowMs);
      if (isNew) listener.violation(limit, 'begins', outcome);
    }
    for (const [limit, lastMs] of violatedMs) {
      if (outcome.nowMs - lastMs < SPELL_ENDS_MS) continue;
      violatedMs.delete(limit);
      listener.violation(limit, 'ends', outcome);
    }
  };

  const tellOutcome = (outcome: InferenceOutcome, pixels: Uint8Array, label: number | undefined): void => {
    tellViolations(outcome);
    if (outcome.kind === 'shed') {
      listener.shed(outcome);
      return;
    }
    const before = point;
    point = outcome.point;
    const correct = label === undefined ? undefined : argmax(outcome.logits) === label;
    listener.inference({ ...outcome, correct, pixels });
    if (before !== undefined && (before.pe !== point.pe || before.level !== point.level)) {
      listener.switched(before, outcome);
    }
  };
  return {
    outcome: tellOutcome,
    violatedMs: (): ReadonlyMap<Limit, number> => violatedMs,
    /** Goes on with spells that began in another loop. */
    goOn: (from: ReadonlyMap<Limit, number> = new Map()): void => {
      violatedMs = new Map(from);
    },
  };
}
