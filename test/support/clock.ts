import type { Clock } from '../../shared/clock.ts';

interface Sleeper {
  readonly dueMs: number;
  readonly wake: () => void;
}

/** A clock that stands still until a test moves it. */
export interface ManualClock extends Clock {
  /** Moves time on by `ms`, waking sleepers in the order in which they are due. */
  advance(ms: number): Promise<void>;
  /** How many sleeps are under way. */
  sleeping(): number;
}

/** Lets everything run that only waits for promises. */
async function settle(): Promise<void> {
  await new Promise((resolve) => setImmediate(resolve));
}

/** Makes a manual clock; the wall clock starts at `startMs`, the monotonic one at 0. */
export function manualClock(startMs = 1_700_000_000_000): ManualClock {
  let nowMs = 0;
  let sleepers: Sleeper[] = [];
  const advance = async (ms: number): Promise<void> => {
    const untilMs = nowMs + ms;
    await settle();
    for (;;) {
      const [next] = sleepers.filter(({ dueMs }) => dueMs <= untilMs).sort((a, b) => a.dueMs - b.dueMs);
      if (next === undefined) break;
      nowMs = Math.max(nowMs, next.dueMs);
      next.wake();
      await settle();
    }
    nowMs = untilMs;
  };
  const sleep = (ms: number, signal?: AbortSignal): Promise<void> =>
    new Promise((resolve, reject) => {
      if (signal?.aborted === true) return reject(signal.reason);
      const sleeper: Sleeper = { dueMs: nowMs + ms, wake: () => end(resolve) };
      const onAbort = (): void => end(() => reject(signal?.reason));
      const end = (settleSleep: () => void): void => {
        sleepers = sleepers.filter((other) => other !== sleeper);
        signal?.removeEventListener('abort', onAbort);
        settleSleep();
      };
      signal?.addEventListener('abort', onAbort);
      sleepers.push(sleeper);
    });
  return { now: () => startMs + nowMs, monoMs: () => nowMs, sleep, advance, sleeping: () => sleepers.length };
}

/** A clock that moves only while somebody sleeps, and at once; work is time that somebody lets pass. */
export interface JumpingClock extends Clock {
  pass(ms: number): void;
}

/** Makes a jumping clock; both its clocks start at 0. */
export function jumpingClock(): JumpingClock {
  let nowMs = 0;
  const pass = (ms: number): void => {
    nowMs += ms;
  };
  const sleep = async (ms: number, signal?: AbortSignal): Promise<void> => {
    signal?.throwIfAborted();
    pass(ms);
  };
  return { now: () => nowMs, monoMs: () => nowMs, sleep, pass };
}
