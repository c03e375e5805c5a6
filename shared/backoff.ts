import type { Clock } from './clock.ts';

/** A source of uniform random numbers in [0, 1). */
export type Random = () => number;

export interface BackoffPolicy {
  /** Upper bound of the first delay. */
  readonly firstMs: number;
  /** Upper bound of every delay. */
  readonly capMs: number;
}

/**
 * Delay before retry number `attempt` (from 0): exponential with full jitter, uniform in
 * [0, min(cap, first * 2^attempt)). Jitter covers the first retry too, so that a fleet whose broker
 * comes back does not return at once ("Exponential Backoff And Jitter", AWS Architecture Blog, 2015).
 */
export function backoffMs(attempt: number, policy: BackoffPolicy, random: Random): number {
  const ceiling = Math.min(policy.capMs, policy.firstMs * 2 ** Math.min(attempt, 30));
  return random() * ceiling;
}

/** Something that runs until its signal aborts. */
export type Loop = (signal: AbortSignal) => Promise<void>;

export interface SuperviseDeps {
  readonly clock: Clock;
  readonly random: Random;
  readonly policy: BackoffPolicy;
  /** Called with every exception that ended the loop, and how often that has happened. */
  readonly onFault: (error: unknown, faults: number) => void;
}

/**
 * Runs `loop` until `signal` aborts. An exception is reported and the loop is started again after a
 * backoff, which starts afresh once a run has lasted longer than the cap.
 */
export async function supervise(loop: Loop, signal: AbortSignal, deps: SuperviseDeps): Promise<void> {
  let attempt = 0;
  let faults = 0;
  while (!signal.aborted) {
    const startedMs = deps.clock.monoMs();
    try {
      await loop(signal);
      return;
    } catch (error) {
      if (signal.aborted) return;
      faults += 1;
      deps.onFault(error, faults);
      if (deps.clock.monoMs() - startedMs > deps.policy.capMs) attempt = 0;
      await deps.clock.sleep(backoffMs(attempt, deps.policy, deps.random), signal).catch(() => undefined);
      attempt += 1;
    }
  }
}
