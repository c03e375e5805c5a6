import type { Clock } from '../shared/clock.ts';
import type { AppError } from '../shared/errors.ts';
import { type Family, modelPath } from '../shared/family/read.ts';
import { onnxRuntimeVersion } from '../shared/onnx.ts';
import { packageVersion } from '../shared/package.ts';
import type { Sqlite } from '../shared/sqlite.ts';
import type { AgentConfig } from './config.ts';
import { type Engine, startEngine } from './engine/engine.ts';
import { profilePoints } from './engine/profile.ts';
import { qualify } from './engine/qualify.ts';
import { openFrameSource } from './frames/open.ts';
import type { FrameSource } from './frames/source.ts';
import type { Profile } from './runtime/manager.ts';
import { type Activation, activateFamily } from './store/family-store.ts';

/** Loading and running every level once takes seconds; a minute means that it hangs. */
const QUALIFY_TIMEOUT_MS = 120_000;
const PROFILE_ROUNDS = 9;
/** Runs are profiled at about the pace of frames: a tight loop keeps caches warm and promises too much. */
const PROFILE_PAUSE_MS = 20;

export interface ServingDeps {
  readonly config: AgentConfig;
  readonly database: Sqlite;
  readonly clock: Clock;
  readonly onFatal: (error: AppError) => void;
}

/** A family that is loaded, warm and profiled, and the frames that it is shown. */
export interface Serving {
  readonly activation: Activation;
  readonly engine: Engine;
  readonly frames: FrameSource;
  readonly profile: Profile;
}

function modelsOf(family: Family, threads: number) {
  const { input, output, levels } = family.manifest;
  const points = levels.map((level, index) => ({
    pe: 'cpu' as const,
    level: index,
    modelPath: modelPath(family.folder, level),
  }));
  return { points, input, output, threads };
}

/**
 * Brings a family into service: install and qualify what is configured (or fall back to the last good one),
 * start the engine, open the frame source, measure every level. What was acquired is released with `stack`.
 */
export async function bringIntoService(deps: ServingDeps, stack: AsyncDisposableStack): Promise<Serving> {
  const { config, clock } = deps;
  const { threads, runTimeoutMs } = config.engine;
  const activation = await activateFamily(config.family.dir, {
    database: deps.database,
    stateDir: config.state.dir,
    now: () => clock.now(),
    qualifier: `onnxruntime ${onnxRuntimeVersion()}, ofa-fleet ${packageVersion()}`,
    qualify: (family) => qualify({ ...modelsOf(family, threads), timeoutMs: QUALIFY_TIMEOUT_MS, clock }),
  });
  const { manifest } = activation.family;
  const [, height, width, channels] = manifest.input.shape;
  const frames = await openFrameSource(config.frames.source, {
    shape: [height, width, channels],
    labels: manifest.labels,
    offset: config.frames.offset,
  });
  stack.defer(() => frames.close());
  const models = modelsOf(activation.family, threads);
  const engine = stack.use(await startEngine({ ...models, runTimeoutMs, clock, onFatal: deps.onFatal }));
  const latenciesMs = await profilePoints(engine, models.points.length, {
    rounds: PROFILE_ROUNDS,
    frame: new Uint8Array(height * width * channels).fill(128),
    pause: () => clock.sleep(PROFILE_PAUSE_MS),
  });
  const profile = manifest.levels.map(({ accuracy }, level) => ({
    pe: 'cpu' as const,
    level,
    accuracy,
    latencyMs: latenciesMs[level] ?? Number.NaN,
  }));
  return { activation, engine, frames, profile };
}
