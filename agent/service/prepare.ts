import type { Family } from '../../shared/family/read.ts';
import { memoryCosts } from '../profile/memory-costs.ts';
import type { Failed } from '../quarantine/qualification.ts';
import type { AwaitIdle } from '../serving-engine.ts';
import { qualifyOnce } from '../store/family-store.ts';
import { admitFamily, type FamilyWays, qualifierOf, qualifyFamily } from './fitness.ts';
import { pruneLean } from './lean-folders.ts';
import { loadFamily, openFrames, type Serving, takeSameFrames } from './load-family.ts';

/** How a family is brought into service beside another one. */
export interface BesideWays extends FamilyWays {
  readonly signal: AbortSignal;
  readonly awaitIdle: AwaitIdle;
}

/** Of each level, so that its memory is in the caches. */
const WARM_RUNS = 2;

/**
 * Makes a family ready beside the one that serves: checked against the quarantine, qualified in a process of its
 * own, profiled, loaded and warm. Frames come from the very same source where they are the same.
 * @param stack releases what was acquired
 * @throws AppError `invalid` when no level can be used; the signal's reason when it aborts
 */
export async function prepareFamily(
  family: Family,
  { beside, ways }: { readonly beside: Serving; readonly ways: BesideWays },
  stack: AsyncDisposableStack,
): Promise<Serving> {
  const { config, signal } = ways;
  signal.throwIfAborted();
  admitFamily(family, ways);
  const failed = await qualified(family, ways);
  const isSame = takeSameFrames(beside.family, family);
  const frames = isSame ? beside.frames.share() : await openFrames(family, config);
  const serving = await loadFamily(
    { family, failed, frames },
    { ...ways, ...budgetBeside(beside, ways) },
    stack,
  );
  await pruneLean(config.state.dir, [beside.family.sha256, family.sha256]);
  await warmUp(serving, ways);
  return serving;
}

/** Runs what is loaded, in gaps: the first runs after a while are slower than others. */
export async function warmUp(
  { family, engine, points }: Serving,
  { awaitIdle }: Pick<BesideWays, 'awaitIdle'>,
): Promise<void> {
  const [, height, width, channels] = family.manifest.input.shape;
  const frame = new Uint8Array(height * width * channels).fill(128);
  let longestMs = 0;
  for (const point of points.keys()) {
    for (let run = 0; run < WARM_RUNS && engine.isWarm(point); run += 1) {
      await awaitIdle(longestMs);
      longestMs = Math.max(longestMs, (await engine.run(point, frame)).runMs);
    }
  }
}

/** One that has passed before, with the same library, need not do so again. */
async function qualified(family: Family, ways: FamilyWays): Promise<readonly Failed[]> {
  let failed: readonly Failed[] = [];
  await qualifyOnce(family, {
    database: ways.database,
    now: () => ways.clock.now(),
    qualifier: qualifierOf(ways.runtime),
    qualify: async () => {
      failed = await qualifyFamily(family, ways);
      return failed.length === 0;
    },
  });
  return failed;
}

/** What the family that serves has loaded is not free yet; the rest is loaded when it is. */
function budgetBeside(
  { engine, profiler, family }: Serving,
  { config }: FamilyWays,
): { readonly budgetBytes?: number } {
  const { memoryBytes } = config.engine;
  if (memoryBytes === null) return {};
  const costs = memoryCosts(profiler.info().points, family.manifest.levels);
  const loaded = costs.filter((_, point) => engine.isWarm(point)).reduce((sum, bytes) => sum + bytes, 0);
  return { budgetBytes: Math.max(1, memoryBytes - loaded) };
}
