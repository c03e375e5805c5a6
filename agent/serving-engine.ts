import type { Clock } from '../shared/clock.ts';
import { type AppError, describeError } from '../shared/errors.ts';
import type { Family } from '../shared/family/read.ts';
import type { Logger } from '../shared/log.ts';
import type { NoPowerMeter, PowerMeter } from '../shared/power/meter.ts';
import type { Sqlite } from '../shared/sqlite.ts';
import type { AgentConfig } from './config.ts';
import { warmSet } from './engine/admission.ts';
import type { Engine } from './engine/engine.ts';
import { prepareLean } from './engine/lean.ts';
import { processMemory } from './engine/memory.ts';
import type { ChosenPoint, Contender, ElementOptions } from './profile/contender.ts';
import type { ProfileFacts } from './profile/key.ts';
import { type MachineState, readMachine } from './profile/machine.ts';
import type { LeftOut, MeasuredEngine, MeasureOptions } from './profile/measure.ts';
import { memoryCosts } from './profile/memory-costs.ts';
import { type Obtained, obtainProfile } from './profile/obtain.ts';
import { openProfileStore, type PointFigures } from './profile/profile-store.ts';
import { createProfiler, type Profiler } from './profile/profiler.ts';
import { startWarmEngine } from './profile/warm-engine.ts';
import { startGuardedEngine } from './quarantine/guarded-engine.ts';
import { leanFolder } from './service/lean-folders.ts';

/** Optimising every level once takes seconds. */
const LEAN_TIMEOUT_MS = 300_000;
/** A frame each 20 ms: a tight loop keeps caches warm and promises too much. */
const PROFILE_PERIOD_MS = 20;

/** What an engine that serves is made with. */
export interface EngineDeps {
  readonly config: AgentConfig;
  readonly database: Sqlite;
  readonly clock: Clock;
  readonly onFatal: (error: AppError) => void;
  readonly log?: Pick<Logger, 'warn'>;
  readonly meter?: PowerMeter | NoPowerMeter;
  /** The state that a profile holds for; by default without a power mode. */
  readonly machine?: () => Promise<MachineState>;
  /** Gives up what is being tried, made or measured: a first start takes seconds. */
  readonly signal?: AbortSignal;
  /** How long to measure, instead of what is usual. */
  readonly profiling?: Pick<MeasureOptions, 'rounds' | 'threadRounds'> & { readonly periodMs?: number };
}

/** What the levels of a family are run with. */
export interface EngineWays extends EngineDeps {
  /** Waits for a moment in which a run of so many milliseconds holds up nobody; without it nobody is about. */
  readonly awaitIdle?: AwaitIdle;
  /** What may be loaded at first, instead of what the configuration says: the rest is in use by another family. */
  readonly budgetBytes?: number;
  readonly elements: readonly ElementOptions[];
  /** Version of ONNX Runtime. */
  readonly runtime: string;
}

/** Waits for a gap between frames, though not for ever: on a busy device there is none. */
export type AwaitIdle = (expectedMs: number) => Promise<void>;

/** An engine with its points loaded, and the profile of them, all in one order. */
export interface StartedEngine {
  readonly engine: Engine;
  readonly points: readonly ChosenPoint[];
  readonly profiler: Profiler;
  /** Contenders that cannot be loaded or run. */
  readonly leftOut: readonly LeftOut[];
}

/**
 * Starts the engine that serves contenders of a family: with models that are optimised for this device where
 * those can be made, the profile that is kept or one that is measured now by an engine of its own, and as
 * many points loaded as the memory budget allows.
 * @throws AppError `invalid` when no contender can be loaded and run, as `startEngine` otherwise
 */
export async function startServing(
  family: Family,
  delivered: readonly Contender[],
  ways: EngineWays,
): Promise<StartedEngine> {
  const { config, clock, database, elements, log, machine, meter, onFatal, profiling, runtime, signal } =
    ways;
  const contenders = await withLean(family, delivered, ways);
  const { input, output, levels } = family.manifest;
  const { runTimeoutMs } = config.engine;
  const { awaitIdle, budgetBytes: memoryBytes = config.engine.memoryBytes } = ways;
  const startEngine = (points: readonly ChosenPoint[]): Promise<Engine> =>
    startGuardedEngine({
      points,
      input,
      output,
      runTimeoutMs,
      clock,
      onFatal,
      stateDir: config.state.dir,
      runtime,
      onFallback: (_, error) => log?.warn(error.message),
      onMarkerLost: (error) => log?.warn(`in-flight marker: it cannot be written: ${describeError(error)}`),
    });
  const readFacts = async (): Promise<ProfileFacts> => ({
    machine: await (machine ?? readMachine)(),
    runtime,
    elements,
    levels: levels.map(({ model }) => model.sha256),
  });
  const [, height, width, channels] = input.shape;
  const measuring = {
    frame: new Uint8Array(height * width * channels).fill(128),
    clock,
    periodMs: PROFILE_PERIOD_MS,
    ...profiling,
    store: openProfileStore(database),
  };
  const obtained = await obtainProfile(contenders, {
    ...measuring,
    facts: await readFacts(),
    startEngine: async (points) => {
      const engine = await startEngine(points);
      return awaitIdle === undefined ? engine : inGaps(engine, awaitIdle);
    },
    onNotKept: (error) => log?.warn(`profile: it cannot be kept: ${describeError(error)}`),
    memoryBytes: processMemory,
    ...(signal === undefined ? {} : { signal }),
    ...(meter === undefined ? {} : { meter }),
    ...(memoryBytes === null ? {} : { budgetBytes: memoryBytes }),
  });
  const warm = ({ info }: Obtained): readonly number[] => warmAtStart(info.points, family, memoryBytes);
  const started = await startWarmEngine(obtained, { startEngine, warm });
  return { ...started, profiler: createProfiler({ ...measuring, ...started, family, readFacts }) };
}

/** An engine whose runs and loads wait until they hold up nobody, by how long they took before. */
function inGaps(engine: Engine, awaitIdle: AwaitIdle): MeasuredEngine & AsyncDisposable {
  const tookMs = new Map<number, number>();
  return {
    run: async (point, frame) => {
      await awaitIdle(tookMs.get(point) ?? 0);
      const done = await engine.run(point, frame);
      tookMs.set(point, done.totalMs);
      return done;
    },
    load: async (point) => {
      await awaitIdle(0);
      await engine.load(point);
    },
    unload: (point) => engine.unload(point),
    [Symbol.asyncDispose]: () => engine.close(),
  };
}

/** Contenders with the models that are optimised for this device, where those can be made. */
async function withLean(
  family: Family,
  contenders: readonly Contender[],
  ways: EngineWays,
): Promise<readonly Contender[]> {
  const { config, clock, log, signal } = ways;
  const models = contenders.filter(({ providers }) => providers.join() === 'cpu');
  if (models.length === 0) return contenders;
  try {
    const lean = await prepareLean({
      models,
      folder: leanFolder(config.state.dir, family.sha256),
      clock,
      timeoutMs: LEAN_TIMEOUT_MS,
      signal,
      onDamaged: (error) => log?.warn(error.message),
    });
    return contenders.map((contender) => {
      const leanPath = models.includes(contender) ? lean.get(contender.modelPath) : undefined;
      return leanPath === undefined ? contender : { ...contender, leanPath };
    });
  } catch (error) {
    signal?.throwIfAborted();
    log?.warn(`${describeError(error)}; the models run as they were delivered`);
    return contenders;
  }
}

/**
 * What to load at first: everything, or what fits the memory budget from the lightest point up. Who chooses
 * points then loads what is wanted.
 */
function warmAtStart(
  points: readonly PointFigures[],
  { manifest }: Family,
  budgetBytes: number | null,
): readonly number[] {
  const all = [...points.keys()];
  if (budgetBytes === null) return all;
  const costs = memoryCosts(points, manifest.levels);
  const order = all.toSorted((a, b) => (costs[a] ?? 0) - (costs[b] ?? 0));
  return warmSet({ costs, budgetBytes, current: order[0] ?? 0, order });
}
