import type { Clock } from '../../shared/clock.ts';
import { AppError } from '../../shared/errors.ts';

export interface Bound {
  /** Longest time, milliseconds. */
  readonly ms: number;
  /** What is bounded, for messages. */
  readonly what: string;
  readonly clock: Clock;
  readonly signal: AbortSignal;
}

/** A timer of Node holds no more than 24.8 days, and is over at once when it is asked for more. */
const MAX_TIMER_MS = 2 ** 31 - 1;

/**
 * Does some work within a time. Who does not listen to its signal is not waited for; what it makes too late is
 * disposed of.
 * @throws AppError `timeout`; the signal's reason when it aborts; what the work throws
 */
export async function within<T>(
  { ms, what, clock, signal }: Bound,
  work: (signal: AbortSignal) => Promise<T>,
): Promise<T> {
  signal.throwIfAborted();
  const over = new AbortController();
  const stop = AbortSignal.any([signal, over.signal]);
  const left = Promise.withResolvers<never>();
  const onStop = (): void => left.reject(stop.reason);
  stop.addEventListener('abort', onStop, { once: true });
  const done = new AbortController();
  clock.sleep(Math.min(ms, MAX_TIMER_MS), AbortSignal.any([signal, done.signal])).then(
    () => over.abort(new AppError('timeout', `${what}: not done within ${ms} ms`)),
    () => undefined,
  );
  const result = work(stop);
  try {
    return await Promise.race([result, left.promise]);
  } catch (error) {
    // Nobody waits for it, and nobody could do anything about it.
    void result.then(disposeOf).catch(() => undefined);
    throw error;
  } finally {
    done.abort();
    stop.removeEventListener('abort', onStop);
  }
}

async function disposeOf(value: unknown): Promise<void> {
  if (typeof value !== 'object' || value === null || !(Symbol.asyncDispose in value)) return;
  const { [Symbol.asyncDispose]: dispose } = value;
  if (typeof dispose === 'function') await dispose.call(value);
}
