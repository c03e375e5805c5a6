import type { Engine, Inference } from '../../agent/engine/engine.ts';
import type { OperationListener } from '../../agent/operation/listener.ts';
import type { Profile } from '../../agent/runtime/points.ts';
import type { Cause, Decision, Observation, RunningPolicy, Situation } from '../../agent/runtime/policy.ts';
import type { SensorReading } from '../../agent/sensors/reading.ts';
import type { Limit } from '../../shared/protocol/requirement.ts';
import type { ManualClock } from './clock.ts';

/** Two levels on the CPU, 10 and 20 ms. */
export const TWO_LEVELS: Profile = [
  { pe: 'cpu', level: 0, accuracy: 0.8, latencyMs: 10 },
  { pe: 'cpu', level: 1, accuracy: 0.9, latencyMs: 20 },
];

export interface DecisionChange {
  readonly cause?: Cause;
  readonly gaveWay?: readonly Limit[];
  readonly timeLeftMs?: number;
}

/** A decision for a point, or to shed. */
export function decisionFor(point: number | undefined, change: DecisionChange = {}): Decision {
  return {
    point,
    cause: 'best',
    predictedMs: 10,
    missProbability: 0.01,
    timeLeftMs: 50,
    gaveWay: [],
    candidates: [],
    ...change,
  };
}

export interface ScriptedPolicy extends RunningPolicy {
  readonly asked: Situation[];
  readonly seen: Observation[];
}

/** A policy that does what `choose` says, and keeps what it was asked and told. */
export function scriptedPolicy(choose: (situation: Situation) => Decision): ScriptedPolicy {
  const asked: Situation[] = [];
  const seen: Observation[] = [];
  return {
    name: 'scripted',
    asked,
    seen,
    decide: (situation) => {
      asked.push(situation);
      return choose(situation);
    },
    observe: (observation) => void seen.push(observation),
    view: () => ({ slowdown: 1, current: undefined, price: 0 }),
  };
}

export interface FakeEngine extends Pick<Engine, 'run' | 'load' | 'unload' | 'isWarm'> {
  readonly warm: Set<number>;
  /** What was done, in order, such as `run 1`. */
  readonly done: string[];
  /** Errors of the deeds to come, such as `run 1`; a function may decide each time. */
  readonly broken: Map<string, () => Error | undefined>;
}

/** An engine whose runs take time on a clock that a test owns, one after the other. */
export function fakeEngine(
  clock: ManualClock,
  { warm = [0, 1], runMs = [10, 20], logits = [0, 9, 0] }: FakeEngineOptions = {},
): FakeEngine {
  const loaded = new Set(warm);
  const done: string[] = [];
  const broken = new Map<string, () => Error | undefined>();
  const deed = (name: string): void => {
    done.push(name);
    const error = broken.get(name)?.();
    if (error !== undefined) throw error;
  };
  let last: Promise<unknown> = Promise.resolve();
  const run = async (point: number): Promise<Inference> => {
    const startedMs = clock.monoMs();
    await clock.sleep(runMs[point] ?? 10);
    deed(`run ${point}`);
    const tookMs = clock.monoMs() - startedMs;
    return { logits: Float32Array.from(logits), runMs: tookMs, totalMs: tookMs };
  };
  return {
    warm: loaded,
    done,
    broken,
    run: (point) => {
      const mine = last.then(() => run(point));
      last = mine.catch(() => undefined);
      return mine;
    },
    load: async (point) => {
      deed(`load ${point}`);
      loaded.add(point);
    },
    unload: async (point) => {
      deed(`unload ${point}`);
      loaded.delete(point);
    },
    isWarm: (point) => loaded.has(point),
  };
}

interface FakeEngineOptions {
  readonly warm?: readonly number[];
  readonly runMs?: readonly number[];
  readonly logits?: readonly number[];
}

/** A listener that hears nothing. */
export const silentListener: OperationListener = {
  inference: () => undefined,
  switched: () => undefined,
  shed: () => undefined,
  violation: () => undefined,
  skipped: () => undefined,
  unreadable: () => undefined,
  failed: () => undefined,
  audited: () => undefined,
  reading: () => undefined,
};

/** A reading in which nothing is known. */
export const NO_READING: SensorReading = {
  atMs: 0,
  tempC: undefined,
  hottestZone: undefined,
  powerW: undefined,
  energyJ: undefined,
  energyOverMs: undefined,
  powerQuality: 'unknown',
  powerScope: undefined,
  powerSource: undefined,
  gpuLoad: undefined,
  gpuFreqHz: undefined,
  cpuFreqHz: undefined,
  cpuBusy: undefined,
  memAvailableBytes: undefined,
  psi: undefined,
  powerMode: undefined,
  throttledBy: undefined,
};
