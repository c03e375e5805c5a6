import type { Clock } from '../../shared/clock.ts';
import type { NativeChild } from '../../shared/native-child.ts';

export interface ChildBound {
  /** What takes longer hangs. */
  readonly timeoutMs: number;
  readonly clock: Clock;
  readonly signal?: AbortSignal | undefined;
}

/**
 * Waits until the child is gone, and kills it when its time is over or the signal aborts.
 * @throws the signal's reason when it aborts
 */
export async function untilGone(
  child: Pick<NativeChild<never>, 'ended' | 'kill'>,
  { timeoutMs, clock, signal }: ChildBound,
): Promise<void> {
  const settled = new AbortController();
  const stop = AbortSignal.any(signal === undefined ? [settled.signal] : [settled.signal, signal]);
  const overdue = clock.sleep(timeoutMs, stop).then(
    () => child.kill(`no end within ${timeoutMs} ms, it hangs`),
    () => child.kill('it was told to stop'),
  );
  try {
    await child.ended;
  } finally {
    settled.abort();
    await overdue;
  }
  signal?.throwIfAborted();
}
