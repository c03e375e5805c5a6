import type { Family } from '../../shared/family/read.ts';
import type { AgentConfig } from '../config.ts';
import type { Engine } from '../engine/engine.ts';
import { openFrameSource } from '../frames/open.ts';
import { type SharedSource, sharedSource } from '../frames/shared.ts';
import type { ChosenPoint } from '../profile/contender.ts';
import type { LeftOut } from '../profile/measure.ts';
import type { Profiler } from '../profile/profiler.ts';
import type { Failed } from '../quarantine/qualification.ts';
import type { Profile } from '../runtime/points.ts';
import { startServing } from '../serving-engine.ts';
import { type FamilyWays, type Quarantined, quarantinedOf, usableOf } from './fitness.ts';

/** A family that is loaded, warm and profiled, and the frames that it is shown. */
export interface Serving {
  readonly family: Family;
  /** Indices of its points are those of `points` and `profile`. */
  readonly engine: Engine;
  readonly frames: SharedSource;
  readonly points: readonly ChosenPoint[];
  /** The profile to begin with; the one in force is the profiler's. */
  readonly profile: Profile;
  readonly profiler: Profiler;
  /** Of this family. */
  readonly quarantined: readonly Quarantined[];
  /** Levels that could not be loaded or run this time. */
  readonly leftOut: readonly LeftOut[];
}

/** A family, and what is known of it before it is loaded. */
export interface QualifiedFamily {
  readonly family: Family;
  /** Levels that failed their qualification. */
  readonly failed: readonly Failed[];
  /** To be closed by who calls when the family cannot be loaded. */
  readonly frames: SharedSource;
}

/**
 * Loads a family: takes or measures its profile and starts its engine. Engine and frames are released with
 * `stack`.
 * @throws AppError `invalid` when none of its levels can be loaded and run; the signal's reason when it aborts
 */
export async function loadFamily(
  { family, failed, frames }: QualifiedFamily,
  ways: FamilyWays,
  stack: AsyncDisposableStack,
): Promise<Serving> {
  stack.defer(() => frames.close());
  const quarantined = quarantinedOf(family, ways);
  const unfit = failed.filter(({ point }) => ways.quarantine.find(point) === undefined);
  const contenders = usableOf(family, ways).filter(
    ({ pe, level }) => !unfit.some(({ point }) => point.pe === pe && point.level === level),
  );
  const { engine, points, profiler, leftOut } = await startServing(family, contenders, ways);
  stack.use(engine);
  return {
    family,
    frames,
    engine,
    points,
    profile: profiler.profile(),
    profiler,
    quarantined,
    leftOut: [...unfit.map(({ point: { pe, level }, reason }) => ({ pe, level, reason })), ...leftOut],
  };
}

/** Opens the configured frame source for a family. @throws as `openFrameSource` */
export async function openFrames({ manifest }: Family, { frames }: AgentConfig): Promise<SharedSource> {
  const [, height, width, channels] = manifest.input.shape;
  const { labels } = manifest;
  const shape = [height, width, channels] as const;
  return sharedSource(await openFrameSource(frames.source, { shape, labels, offset: frames.offset }));
}

/** Whether two families take the same frames: of the same shape, with the same labels. */
export function takeSameFrames(one: Family, other: Family): boolean {
  const { input, labels } = one.manifest;
  return String(input.shape) === String(other.manifest.input.shape) && haveSameLabels(labels, other);
}

/** Whether answers of a family can be compared with those of another one. */
export function haveSameLabels(labels: readonly string[], { manifest }: Family): boolean {
  const others = manifest.labels;
  return labels.length === others.length && labels.every((label, index) => label === others[index]);
}
