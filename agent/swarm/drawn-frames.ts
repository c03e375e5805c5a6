import type { Loop } from '../../shared/backoff.ts';
import type { Clock } from '../../shared/clock.ts';
import type { Random } from '../../shared/random.ts';
import type { OperatingPoint } from '../runtime/points.ts';
import type { WindowGatherer } from '../telemetry/window.ts';
import { choosePoint, drawAnswer } from './drawn-levels.ts';

export interface DrawnFramesDeps {
  readonly clock: Clock;
  readonly random: Random;
  readonly gatherer: Pick<WindowGatherer, 'inference' | 'count'>;
  /** Of the family that serves now. */
  readonly points: () => readonly OperatingPoint[];
  /** Frames per second. */
  readonly frameRate: () => number;
  /** Latency that is allowed, undefined where nobody set one. */
  readonly budgetMs: () => number | undefined;
}

/** Frames that nobody shows, and what came of them. */
export interface DrawnFrames {
  readonly run: Loop;
  /** How many were answered. */
  readonly answered: number;
  /** Where they were answered last. */
  readonly current: OperatingPoint | undefined;
}

/** Frames of one tick are answered together: a process with a thousand devices has no timer for each frame. */
const TICK_MS = 500;
/** A process that was stopped for long does not make up for it. */
const MOST_AT_ONCE_MS = 5_000;

/** Makes frames at the rate in force, and answers that go into the windows. */
export function createDrawnFrames(deps: DrawnFramesDeps): DrawnFrames {
  const { clock, gatherer } = deps;
  let answered = 0;
  let current: OperatingPoint | undefined;
  /** Of a frame that is not due yet, 0 to below 1. */
  let begun = 0;
  const tick = (overMs: number): void => {
    begun += (Math.min(overMs, MOST_AT_ONCE_MS) / 1_000) * deps.frameRate();
    const due = Math.floor(begun);
    begun -= due;
    const budgetMs = deps.budgetMs();
    const point = choosePoint(deps.points(), budgetMs);
    if (point === undefined || due === 0) return;
    if (current !== undefined && current.level !== point.level) gatherer.count('switches');
    current = point;
    for (let frame = 0; frame < due; frame += 1) answer(deps, point, budgetMs);
    answered += due;
  };
  return {
    get answered() {
      return answered;
    },
    get current() {
      return current;
    },
    run: async (signal) => {
      let lastMs = clock.monoMs();
      while (!signal.aborted) {
        await clock.sleep(TICK_MS, signal).catch(() => undefined);
        const nowMs = clock.monoMs();
        tick(nowMs - lastMs);
        lastMs = nowMs;
      }
    },
  };
}

function answer(
  { clock, random, gatherer }: DrawnFramesDeps,
  point: OperatingPoint,
  budgetMs: number | undefined,
): void {
  const { latencyMs, correct, confidence } = drawAnswer(point, random);
  gatherer.inference({
    pe: point.pe,
    level: point.level,
    latencyMs,
    runMs: latencyMs,
    profileMs: point.latencyMs,
    energyJ: undefined,
    confidence,
    missed: latencyMs > (budgetMs ?? Number.POSITIVE_INFINITY),
    correct,
    nowMs: clock.monoMs(),
  });
}
