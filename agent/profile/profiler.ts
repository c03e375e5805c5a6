import type { Clock } from '../../shared/clock.ts';
import { AppError } from '../../shared/errors.ts';
import type { Family } from '../../shared/family/read.ts';
import type { Profile } from '../runtime/points.ts';
import { type ChosenPoint, leanFileOf } from './contender.ts';
import { type LatencyFigures, latencyFigures } from './figures.ts';
import { type ProfileFacts, profileKey } from './key.ts';
import type { MeasuredEngine } from './measure.ts';
import type { PointFigures, ProfileStore, StoredProfile } from './profile-store.ts';

/** What a re-measuring needs of an engine that serves. */
export interface ServingEngine extends MeasuredEngine {
  isWarm(point: number): boolean;
}

/** Where the profile in force comes from. */
export interface ProfileInfo extends StoredProfile {
  readonly key: string;
  readonly facts: ProfileFacts;
  /** Kept from an earlier start, or measured by this one. */
  readonly source: 'stored' | 'measured';
}

export interface ProfilerDeps {
  readonly engine: ServingEngine;
  /** Of the engine, in its order; each has figures in `info`. */
  readonly points: readonly ChosenPoint[];
  readonly info: ProfileInfo;
  readonly family: Family;
  readonly store: ProfileStore;
  /** The facts as they are now: the power mode may be another one. */
  readonly readFacts: () => Promise<ProfileFacts>;
  readonly frame: Uint8Array;
  readonly clock: Clock;
  /** From one run to the next, milliseconds. */
  readonly periodMs: number;
  /** Runs of each point that count, default 20. */
  readonly rounds?: number;
}

/** The profile in force, and how to get a new one while frames are served. */
export interface Profiler {
  /** Points in the order of the engine's. */
  profile(): Profile;
  info(): ProfileInfo;
  /**
   * Takes the profile that is kept for the facts as they are now, such as another power mode, where it has the
   * points of the engine as they run.
   * @returns whether another profile is in force now
   */
  adopt(): Promise<boolean>;
  /**
   * Measures every point again while frames are served: one run at a time, when `idle` says that none is
   * waiting; a run during which that ended does not count. A point that is not loaded is loaded for it, in
   * idle time too. Threads, memory and energy stay as they are. The new profile is kept and in force when
   * this resolves; before that, or when it fails, nothing has changed.
   * @param idle whether a run of about so many milliseconds would hold up nobody now
   * @throws AppError `conflict` when it is under way already, or when the power mode or the clocks changed
   * meanwhile; the signal's reason when it aborts; what a run throws
   */
  remeasure(idle: Idle, signal: AbortSignal): Promise<ProfileInfo>;
}

/** Whether nobody waits, nor is expected to within `expectedMs`. */
export type Idle = (expectedMs: number) => boolean;

const ROUNDS = 20;
/** Of each point, after a pause or another point; they do not count. */
const WARM_UP_RUNS = 2;

/** The profile of figures: what policies choose from. */
export function profileOf(figures: readonly PointFigures[], { manifest }: Family): Profile {
  return figures.map(({ pe, level, latency, energyJ }) => ({
    pe,
    level,
    accuracy: manifest.levels[level]?.accuracy ?? 0,
    latencyMs: latency.medianMs,
    ...(energyJ === undefined ? {} : { energyJ }),
  }));
}

/** Makes the keeper of the profile in force; it measures only when it is told to. */
export function createProfiler(deps: ProfilerDeps): Profiler {
  let { info } = deps;
  let profile = profileOf(info.points, deps.family);
  let measuring = false;

  const remeasure = async (idle: Idle, signal: AbortSignal): Promise<ProfileInfo> => {
    const facts = await deps.readFacts();
    const latencies = await measureBetweenFrames(deps, idle, signal);
    const key = profileKey(facts);
    if (profileKey(await deps.readFacts()) !== key) {
      throw new AppError(
        'conflict',
        'profile: power mode or clocks changed while it was measured; try again',
      );
    }
    const points = info.points.map((point, index) => ({
      ...point,
      latency: latencies[index] ?? point.latency,
    }));
    const measured = { measuredTs: deps.clock.now(), points };
    deps.store.save(facts, measured);
    info = { ...measured, key, facts, source: 'measured' };
    profile = profileOf(points, deps.family);
    return info;
  };
  const adopt = async (): Promise<boolean> => {
    const facts = await deps.readFacts();
    const key = profileKey(facts);
    const stored = key === info.key ? undefined : deps.store.find(facts);
    const points = deps.points.flatMap((point) => stored?.points.find((kept) => runsAs(kept, point)) ?? []);
    if (stored === undefined || points.length < deps.points.length || measuring) return false;
    info = { key, facts, source: 'stored', measuredTs: stored.measuredTs, points };
    profile = profileOf(points, deps.family);
    return true;
  };
  return {
    adopt,
    profile: () => profile,
    info: () => info,
    remeasure: async (idle, signal) => {
      if (measuring) throw new AppError('conflict', 'profile: it is being measured already');
      measuring = true;
      try {
        return await remeasure(idle, signal);
      } finally {
        measuring = false;
      }
    },
  };
}

/** Whether figures are of a point as it runs here. */
function runsAs({ pe, level, threads, leanFile }: PointFigures, point: ChosenPoint): boolean {
  const isSame = pe === point.pe && level === point.level && threads === point.threads;
  return isSame && leanFile === leanFileOf(point).leanFile;
}

/** Figures of every point, one point after the other in each round. */
async function measureBetweenFrames(
  deps: ProfilerDeps,
  idle: Idle,
  signal: AbortSignal,
): Promise<LatencyFigures[]> {
  const { points, rounds = ROUNDS } = deps;
  const latenciesMs = points.map((): number[] => []);
  // Points that are not loaded come one by one: loading them in every round would hold up frames for longer.
  const warm = [...points.keys()].filter((index) => deps.engine.isWarm(index));
  const cold = [...points.keys()].filter((index) => !warm.includes(index));
  for (const group of [warm, ...cold.map((index) => [index])]) {
    try {
      for (let round = 0; round < WARM_UP_RUNS + rounds; round += 1) {
        for (const index of group) {
          const latencyMs = await undisturbedRun(index, deps, idle, signal);
          if (round >= WARM_UP_RUNS) latenciesMs[index]?.push(latencyMs);
        }
      }
    } finally {
      if (group !== warm) await unloadAll(group, deps.engine);
    }
  }
  return latenciesMs.map(latencyFigures);
}

async function unloadAll(points: readonly number[], engine: ServingEngine): Promise<void> {
  for (const index of points) if (engine.isWarm(index)) await engine.unload(index);
}

/** Runs a point when nobody waits, again until nobody came meanwhile. */
async function undisturbedRun(
  index: number,
  { engine, frame, clock, info, periodMs }: ProfilerDeps,
  idle: Idle,
  signal: AbortSignal,
): Promise<number> {
  const expectedMs = info.points[index]?.latency.p95Ms ?? 0;
  for (;;) {
    await clock.sleep(periodMs, signal);
    if (!idle(expectedMs)) continue;
    if (!engine.isWarm(index)) {
      await engine.load(index);
      continue;
    }
    const { totalMs } = await engine.run(index, frame);
    signal.throwIfAborted();
    if (idle(0)) return totalMs;
  }
}
