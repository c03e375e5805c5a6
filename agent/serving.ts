import { AppError } from '../shared/errors.ts';
import type { Family } from '../shared/family/read.ts';
import { onnxRuntimeVersion } from '../shared/onnx.ts';
import { packageVersion } from '../shared/package.ts';
import type { AgentConfig } from './config.ts';
import type { Engine } from './engine/engine.ts';
import { openFrameSource } from './frames/open.ts';
import type { FrameSource } from './frames/source.ts';
import {
  type ChosenPoint,
  type Contender,
  configuredElements,
  contendersOf,
  type ElementOptions,
  waysToRun,
} from './profile/contender.ts';
import type { LeftOut } from './profile/measure.ts';
import type { Profiler } from './profile/profiler.ts';
import { tryInChild } from './quarantine/child-trial.ts';
import { type Failed, qualifyPoints } from './quarantine/qualification.ts';
import { openQuarantine, type Quarantine } from './quarantine/quarantine.ts';
import { type Judgement, judgeSuspect } from './quarantine/suspect.ts';
import type { Profile } from './runtime/points.ts';
import { type EngineDeps, type EngineWays, startServing } from './serving-engine.ts';
import { type Activation, activateFamily } from './store/family-store.ts';

/** Loading and running every level once takes seconds; two minutes mean that it hangs. */
const QUALIFY_TIMEOUT_MS = 120_000;

export interface ServingDeps extends EngineDeps {
  /** For trials in a process of their own, of one level or of all. */
  readonly qualifyTimeoutMs?: number;
  /** Where to run, instead of what the configuration says. */
  readonly elements?: readonly ElementOptions[];
}

/** A level that is not run on this device, and since when. */
export interface Quarantined extends LeftOut {
  /** Milliseconds since the epoch. */
  readonly sinceTs: number;
}

/** A family that is loaded, warm and profiled, and the frames that it is shown. */
export interface Serving {
  readonly activation: Activation;
  /** Indices of its points are those of `points` and `profile`. */
  readonly engine: Engine;
  readonly frames: FrameSource;
  readonly points: readonly ChosenPoint[];
  /** The profile to begin with; the one in force is the profiler's. */
  readonly profile: Profile;
  readonly profiler: Profiler;
  /** Of this family. */
  readonly quarantined: readonly Quarantined[];
  /** Levels that could not be loaded or run this time. */
  readonly leftOut: readonly LeftOut[];
  readonly quarantine: Quarantine;
  /** What became of the point that was in flight when the process before this one died, if one was. */
  readonly judgement: Judgement | undefined;
}

/** What the steps share. */
interface Service extends EngineWays {
  readonly quarantine: Quarantine;
  readonly qualifyTimeoutMs: number;
}

/**
 * Brings a family into service: judge what the last process died of, install and qualify what is configured
 * (or fall back to the last good one), open the frame source, take or measure the profile, start the engine.
 * What was acquired is released with `stack`.
 * @throws AppError when there is no family of which a level can be used; the signal's reason when it aborts
 */
export async function bringIntoService(deps: ServingDeps, stack: AsyncDisposableStack): Promise<Serving> {
  const runtime = onnxRuntimeVersion();
  const { config, database, clock } = deps;
  const { elements = configuredElements(config.engine), qualifyTimeoutMs = QUALIFY_TIMEOUT_MS } = deps;
  const quarantine = openQuarantine({ database, now: () => clock.now(), runtime });
  const service: Service = { ...deps, runtime, elements, qualifyTimeoutMs, quarantine };
  const judgement = await judge(service);
  const { activation, failed } = await activate(service);
  const { family } = activation;
  const frames = await openFrames(family, config);
  stack.defer(() => frames.close());
  const quarantined = quarantinedOf(family, service);
  const unfit = failed.filter(({ point }) => quarantine.find(point) === undefined);
  const contenders = usableOf(family, service).filter(
    ({ pe, level }) => !unfit.some(({ point }) => point.pe === pe && point.level === level),
  );
  const started = await startServing(family, contenders, service);
  stack.use(started.engine);
  return {
    activation,
    frames,
    engine: started.engine,
    points: started.points,
    profile: started.profiler.profile(),
    profiler: started.profiler,
    quarantined,
    leftOut: [
      ...unfit.map(({ point: { pe, level }, reason }) => ({ pe, level, reason })),
      ...started.leftOut,
    ],
    quarantine,
    judgement,
  };
}

/** What the process before this one died of is known before anything is loaded. */
async function judge(service: Service): Promise<Judgement | undefined> {
  const { config, log, clock, qualifyTimeoutMs, signal } = service;
  const judgement = await judgeSuspect({
    stateDir: config.state.dir,
    quarantine: service.quarantine,
    runtime: service.runtime,
    retry: ({ point, input, output }) =>
      tryInChild([point], { input, output, clock, signal, timeoutMs: qualifyTimeoutMs }),
  });
  if (judgement !== undefined) log?.warn(`${judgement.reason}: ${judgement.sentence}`);
  return judgement;
}

async function activate(service: Service): Promise<{ activation: Activation; failed: readonly Failed[] }> {
  const { config, database, clock, quarantine, qualifyTimeoutMs, signal } = service;
  signal?.throwIfAborted();
  const failures = new Map<string, readonly Failed[]>();
  const activation = await activateFamily(config.family.dir, {
    database,
    stateDir: config.state.dir,
    now: () => clock.now(),
    qualifier: `onnxruntime ${service.runtime}, ofa-fleet ${packageVersion()}`,
    admit: (family) => {
      if (usableOf(family, service).length > 0) return;
      const [first] = quarantinedOf(family, service);
      throw new AppError('invalid', `${family.manifest.name}: every level is quarantined; ${first?.reason}`);
    },
    qualify: async (family) => {
      const { input, output } = family.manifest;
      const points = usableOf(family, service).flatMap((contender) => waysToRun(contender).slice(0, 1));
      const failed = await qualifyPoints(points, quarantine, (some) =>
        tryInChild(some, { input, output, clock, signal, timeoutMs: qualifyTimeoutMs }),
      );
      failures.set(family.sha256, failed);
      return failed.length === 0;
    },
  });
  return { activation, failed: failures.get(activation.family.sha256) ?? [] };
}

async function openFrames({ manifest }: Family, { frames }: AgentConfig): Promise<FrameSource> {
  const [, height, width, channels] = manifest.input.shape;
  const { labels } = manifest;
  return await openFrameSource(frames.source, {
    shape: [height, width, channels],
    labels,
    offset: frames.offset,
  });
}

/** Every level on every element that is not in quarantine. */
function usableOf(family: Family, { elements, quarantine }: Service): Contender[] {
  return contendersOf(family, elements).filter((contender) => quarantine.find(contender) === undefined);
}

function quarantinedOf(family: Family, { elements, quarantine }: Service): Quarantined[] {
  return contendersOf(family, elements).flatMap((contender) => {
    const entry = quarantine.find(contender);
    if (entry === undefined) return [];
    return [{ pe: contender.pe, level: contender.level, reason: entry.reason, sinceTs: entry.sinceTs }];
  });
}
