import type { Profile } from '../runtime/points.ts';
import type { Serving } from './load-family.ts';

/** Index of the most accurate point; of several that are, of the fastest. */
export function bestLevel(profile: Profile): number {
  const [best] = [...profile.entries()].toSorted(
    ([, a], [, b]) => b.accuracy - a.accuracy || a.latencyMs - b.latencyMs,
  );
  return best?.[0] ?? 0;
}

/** The most accurate level; one that is not loaded, for lack of memory, is so only for the comparison. */
export async function loadBest({
  engine,
  profile,
}: Serving): Promise<AsyncDisposable & { readonly index: number }> {
  const index = bestLevel(profile);
  const wasWarm = engine.isWarm(index);
  if (!wasWarm) await engine.load(index);
  return {
    index,
    [Symbol.asyncDispose]: async () => {
      if (!wasWarm) await engine.unload(index);
    },
  };
}
