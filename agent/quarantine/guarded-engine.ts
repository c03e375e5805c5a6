import type { AppError } from '../../shared/errors.ts';
import { type Engine, type EngineOptions, startEngine } from '../engine/engine.ts';
import { type InFlightMarker, kernelBootId, type MarkedPoint, openMarker } from './marker.ts';

export interface GuardedOptions extends Omit<EngineOptions, 'points' | 'warm' | 'onUnusable'> {
  readonly points: readonly MarkedPoint[];
  /** Folder of the agent's state, where the in-flight marker lies. */
  readonly stateDir: string;
  /** Version of ONNX Runtime. */
  readonly runtime: string;
  /** Told once when the marker cannot be written: the engine works without it. */
  readonly onMarkerLost: (error: unknown) => void;
}

/**
 * Starts an engine that leaves word of which point it is busy with, for the process after this one should
 * this one die of it. Nothing is loaded: load point by point, so that a crash has a name.
 * @throws as `startEngine`
 */
export async function startGuardedEngine(all: GuardedOptions): Promise<Engine> {
  const { stateDir, runtime, onMarkerLost, ...options } = all;
  const { points, input, output } = options;
  const legend = { kernelBoot: kernelBootId(), runtime, input, output, points: points.map(marked) };
  const marker = openMarker(stateDir, legend, onMarkerLost);
  try {
    const onFatal = (error: AppError): void => {
      marker.freeze(error.code === 'timeout' ? 'hung' : 'crashed');
      options.onFatal(error);
    };
    return guarded(await startEngine({ ...options, onFatal, warm: [] }), marker);
  } catch (error) {
    marker[Symbol.dispose]();
    throw error;
  }
}

/** Points may carry more than the marker is to keep. */
function marked({ pe, level, sha256, modelPath, leanPath, threads, providers }: MarkedPoint): MarkedPoint {
  const lean = leanPath === undefined ? {} : { leanPath };
  return { pe, level, sha256, modelPath, ...lean, threads, providers };
}

function guarded(engine: Engine, marker: InFlightMarker): Engine {
  const close = async (): Promise<void> => {
    await engine.close();
    marker[Symbol.dispose]();
  };
  return {
    run: (point, frame) => marker.during(point, 'run', () => engine.run(point, frame)),
    load: (point) => marker.during(point, 'chore', () => engine.load(point)),
    unload: (point) => marker.during(point, 'chore', () => engine.unload(point)),
    isWarm: (point) => engine.isWarm(point),
    close,
    [Symbol.asyncDispose]: close,
  };
}
