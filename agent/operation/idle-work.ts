import type { Clock } from '../../shared/clock.ts';

/** Something that waits for a moment in which no frame does. */
export interface IdleTask {
  /** How long its next piece takes, milliseconds; undefined when there is nothing to do. */
  readonly wantsMs: () => number | undefined;
  /** Does one piece. */
  readonly run: () => Promise<void>;
  /**
   * A piece that has waited so long for a gap of its size is done all the same, milliseconds: on a busy device
   * it never would be. Without it only gaps are used.
   */
  readonly patienceMs?: number;
  /** Called when a piece fails; the next one is tried later, and later again when it fails too. */
  readonly onFailed: (error: unknown) => void;
}

/** A piece is begun only when it would end this many times before the next frame. */
const SAFETY = 1.5;
/** After a failure, doubled with each one that follows. */
const PAUSE_MS = { first: 5_000, most: 600_000 };

/** What is known of a task. */
interface Standing {
  /** Since when it has had a piece to do. */
  waitingSinceMs: number | undefined;
  notBeforeMs: number;
  failures: number;
}

/**
 * Makes the function that does idle work: the first task that has a piece which fits into the time that is
 * left, milliseconds, does it. It never rejects.
 */
export function createIdleWork(clock: Clock, tasks: readonly IdleTask[]): (leftMs: number) => Promise<void> {
  const standings = tasks.map((task) => ({ task, standing: newStanding() }));
  return async (leftMs) => {
    for (const { task, standing } of standings) {
      const nowMs = clock.monoMs();
      if (nowMs < standing.notBeforeMs) continue;
      try {
        if (!isTurnOf(task, standing, { nowMs, leftMs })) continue;
        await task.run();
        standing.failures = 0;
      } catch (error) {
        pause(standing, clock.monoMs());
        task.onFailed(error);
      }
      return;
    }
  };
}

function newStanding(): Standing {
  return { waitingSinceMs: undefined, notBeforeMs: Number.NEGATIVE_INFINITY, failures: 0 };
}

function isTurnOf(
  { wantsMs, patienceMs = Number.POSITIVE_INFINITY }: IdleTask,
  standing: Standing,
  { nowMs, leftMs }: { readonly nowMs: number; readonly leftMs: number },
): boolean {
  const wants = wantsMs();
  if (wants === undefined) {
    standing.waitingSinceMs = undefined;
    return false;
  }
  standing.waitingSinceMs ??= nowMs;
  const fits = wants * SAFETY <= leftMs;
  if (!fits && nowMs - standing.waitingSinceMs < patienceMs) return false;
  standing.waitingSinceMs = undefined;
  return true;
}

function pause(standing: Standing, nowMs: number): void {
  standing.notBeforeMs = nowMs + Math.min(PAUSE_MS.most, PAUSE_MS.first * 2 ** standing.failures);
  standing.failures += 1;
}
