import type { Clock } from '../../shared/clock.ts';

/**
 * Remembers what `make` gave for a while: what changes slowly and is asked for at every frame.
 * @param changes something that must not be waited for: when it is another one, `make` is asked at once
 */
export function held<T>(clock: Clock, holdMs: number, make: () => T, changes?: () => unknown): () => T {
  let kept: { readonly value: T; readonly atMs: number; readonly of: unknown } | undefined;
  return () => {
    const nowMs = clock.monoMs();
    const of = changes?.();
    if (kept === undefined || nowMs - kept.atMs >= holdMs || kept.of !== of) {
      kept = { value: make(), atMs: nowMs, of };
    }
    return kept.value;
  };
}
