import type { Clock } from '../../shared/clock.ts';
import { AppError } from '../../shared/errors.ts';
import { argmax } from '../../shared/logits.ts';
import type { FrameAnswered } from '../runtime/loop.ts';
import type { AwaitIdle } from '../serving-engine.ts';
import { loadBest } from './best-level.ts';
import type { Serving } from './load-family.ts';

/** How often two families gave the same answer. */
export interface Agreement {
  readonly frames: number;
  /** Of equal answers, 0..1. */
  readonly share: number;
}

export interface CompareOptions {
  /** How many are enough. */
  readonly frames: number;
  /** How long to go on without so many, milliseconds. */
  readonly withinMs: number;
  readonly signal: AbortSignal;
}

export interface CompareDeps {
  readonly clock: Clock;
  /** The family that serves, and the one that is to take its place. */
  readonly serving: Serving;
  readonly candidate: Serving;
  readonly awaitIdle: AwaitIdle;
  /** Hears of every answer of the family that serves until it is told to stop by what it returns. */
  readonly listen: (hear: (answered: FrameAnswered) => void) => () => void;
}

/** Answered frames that wait for their comparison; what comes while so many wait is not compared. */
const MAX_WAITING = 4;
const POLL_MS = 5;

interface Kept {
  readonly answer: number;
  /** Of the frame; undefined where the candidate takes other frames: it reads the image again. */
  readonly pixels: Uint8Array | undefined;
  /** Number of the image in the source. */
  readonly position: number;
}

/**
 * Repeats answers of the family that serves on the best level of another one, in the gaps between frames.
 * @returns undefined when no frame was compared
 * @throws what a run throws; the signal's reason when it aborts
 */
export async function compareAnswers(
  deps: CompareDeps,
  { frames, withinMs, signal }: CompareOptions,
): Promise<Agreement | undefined> {
  const { clock, candidate } = deps;
  const waiting: Kept[] = [];
  // Before anybody listens: where it cannot be loaded, nothing is left behind.
  await using level = await loadBest(candidate);
  const stopListening = deps.listen((answered) => {
    if (waiting.length < MAX_WAITING) waiting.push(keep(answered, deps));
  });
  let [compared, equal] = [0, 0];
  try {
    const untilMs = clock.monoMs() + withinMs;
    while (compared < frames && clock.monoMs() < untilMs) {
      signal.throwIfAborted();
      const kept = waiting.shift();
      const pixels = kept === undefined ? undefined : await pixelsOf(kept, candidate);
      if (kept === undefined || pixels === undefined) {
        await clock.sleep(POLL_MS, signal);
        continue;
      }
      await deps.awaitIdle(candidate.profile[level.index]?.latencyMs ?? 0);
      const { logits } = await candidate.engine.run(level.index, pixels);
      compared += 1;
      if (argmax(logits) === kept.answer) equal += 1;
    }
  } finally {
    stopListening();
  }
  return compared === 0 ? undefined : { frames: compared, share: equal / compared };
}

function keep({ pixels, logits }: FrameAnswered, { serving, candidate }: CompareDeps): Kept {
  const { shape } = serving.family.manifest.input;
  const isSameShape = String(shape) === String(candidate.family.manifest.input.shape);
  return {
    answer: argmax(logits),
    pixels: isSameShape ? Uint8Array.from(pixels) : undefined,
    // The loop asks for the next one only after this.
    position: serving.frames.position() - 1,
  };
}

/** Undefined for an image that cannot be read. */
async function pixelsOf({ pixels, position }: Kept, { frames }: Serving): Promise<Uint8Array | undefined> {
  if (pixels !== undefined) return pixels;
  try {
    frames.seek(position);
    return (await frames.next()).pixels;
  } catch (error) {
    if (error instanceof AppError) return undefined;
    throw error;
  }
}
