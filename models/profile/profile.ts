import type { Clock } from '../../shared/clock.ts';
import { AppError } from '../../shared/errors.ts';
import type { ImageShape } from '../../shared/images/decode.ts';
import type { Energy } from '../../shared/measure/energy.ts';
import { type Outcome, runInChild } from './child.ts';
import { type HostFacts, hostFacts } from './host.ts';
import { type LatencyStatistics, latencyStatistics } from './latency.ts';
import type {
  ExecutionProvider,
  Footprint,
  Measured,
  ModelToProfile,
  ProfileTask,
  RunSettings,
} from './protocol.ts';

export interface ProfileOptions {
  readonly models: readonly ModelToProfile[];
  /** Measured runs of each model. */
  readonly rounds: number;
  /** Rounds before them that are not measured, default 5. */
  readonly warmUp?: number;
  /** Intra-op threads of each session, default 1: as it will serve. */
  readonly threads?: number;
  /**
   * One inference per so many milliseconds, as it will be asked for: a tight loop, which is the default,
   * promises too much.
   */
  readonly periodMs?: number;
  /** Frames for models of bytes, in turn; default noise. */
  readonly frames?: readonly Uint8Array[];
  /** [height, width, channels] for models that leave sizes open. */
  readonly shape?: ImageShape;
  readonly clock: Clock;
  /** A model that keeps its process silent for so long hangs; default 2 min, 20 min where TensorRT builds. */
  readonly silenceMs?: number;
  /** Where sysfs is mounted, default `/sys`. */
  readonly sysRoot?: string;
  readonly signal?: AbortSignal;
  readonly onProgress?: (done: number, total: number, text: string) => void;
}

/** What a model costs on a processing element of this machine. */
export interface ModelProfile {
  readonly name: string;
  readonly pe: ExecutionProvider;
  readonly available: true;
  readonly latencyMs: LatencyStatistics;
  /** Time to create the session in a process that has the library loaded. */
  readonly createMs: number;
  readonly memory: { readonly residentBytes: number };
  /** Energy of one inference above idling, joules; null where it cannot be told. */
  readonly energyJ: number | null;
  readonly energyReason?: string;
}

/** A processing element that this machine or this build of ONNX Runtime does not have. */
export interface Unavailable {
  readonly name: string;
  readonly pe: ExecutionProvider;
  readonly available: false;
  readonly reason: string;
}

export type Profile = ModelProfile | Unavailable;

export interface ProfileReport {
  readonly host: HostFacts;
  /** Undefined: in a tight loop. */
  readonly periodMs?: number;
  readonly threads: number;
  /** In the order of `models`. */
  readonly profiles: readonly Profile[];
}

const DEFAULT_WARM_UP = 5;
const SILENCE_MS = 120_000;
const BUILDING_SILENCE_MS = 1_200_000;
/** Power sensors need a second and more. */
const ENERGY_WINDOW_MS = 1_500;

/**
 * Measures models: first each in a fresh process, for its memory and how long its session takes to create;
 * then all in one process in turn, for latency, and one after the other for energy. A crash or a hang of
 * native code ends that process only.
 * @throws AppError `usage` for numbers that make no sense, `invalid` when a model cannot be loaded or run on
 * the CPU, `config` when no model could be opened at all, `system` when the measuring process is lost; the
 * signal's reason when it aborts
 */
export async function profileModels(options: ProfileOptions): Promise<ProfileReport> {
  checkNumbers(options);
  const { models, periodMs, sysRoot = '/sys', threads = 1 } = options;
  const host = await hostFacts(sysRoot);
  const steps = stepCounter(options);
  const footprints: (Footprint | string)[] = [];
  for (const model of models) {
    footprints.push(await footprintOf(model, options));
    steps.next(`memory of ${model.name} on ${model.pe}`);
  }
  const present = models.filter((_, index) => typeof footprints[index] === 'object');
  if (present.length === 0) {
    throw new AppError(
      'config',
      `no model could be opened: ${footprints.find((one) => typeof one === 'string')}`,
    );
  }
  const measured = await measure(present, options, steps.next);
  steps.end();
  const figures = new Map(present.map((model, index) => [model, measured[index]]));
  return {
    host,
    ...(periodMs === undefined ? {} : { periodMs }),
    threads,
    profiles: models.map((model, index) => profileOf(model, footprints[index], figures.get(model))),
  };
}

function checkNumbers({ models, rounds, warmUp = 0, threads = 1, periodMs = 1 }: ProfileOptions): void {
  const isCount = (value: number, least: number): boolean => Number.isSafeInteger(value) && value >= least;
  if (models.length > 0 && isCount(rounds, 1) && isCount(warmUp, 0) && isCount(threads, 1) && periodMs > 0)
    return;
  throw new AppError(
    'usage',
    `profile: ${models.length} models, ${rounds} rounds, ${warmUp} to warm up, ${threads} threads, one per ${periodMs} ms: ` +
      'expected at least 1, 1, 0, 1 and above 0',
  );
}

/** Steps: a footprint of each model, opening each, each round, energy of each. */
function stepCounter({ models, rounds, warmUp = DEFAULT_WARM_UP, onProgress }: ProfileOptions) {
  const total = 3 * models.length + warmUp + rounds;
  let done = 0;
  return {
    next: (text: string): void => {
      done = Math.min(done + 1, total);
      onProgress?.(done, total, text);
    },
    /** What is not available had fewer. */
    end: (): void => onProgress?.(total, total, 'done'),
  };
}

function settingsOf({ threads = 1, frames = [], shape }: ProfileOptions): RunSettings {
  return { threads, frames, ...(shape === undefined ? {} : { shape }) };
}

async function inChild(
  task: ProfileTask,
  models: readonly ModelToProfile[],
  { clock, signal, silenceMs }: ProfileOptions,
  onProgress?: (text: string) => void,
): Promise<Outcome> {
  const builds = models.some(({ pe }) => pe === 'tensorrt');
  return await runInChild(task, {
    clock,
    silenceMs: silenceMs ?? (builds ? BUILDING_SILENCE_MS : SILENCE_MS),
    ...(signal === undefined ? {} : { signal }),
    ...(onProgress === undefined ? {} : { onProgress }),
  });
}

/** The footprint, or why the model's processing element is not available. */
async function footprintOf(model: ModelToProfile, options: ProfileOptions): Promise<Footprint | string> {
  const task = { kind: 'footprint', model, ...settingsOf(options) } as const;
  const outcome = await inChild(task, [model], options);
  if (outcome.kind === 'footprint') return outcome.footprint;
  const message = messageOf(outcome);
  if (model.pe !== 'cpu') return message;
  if (outcome.kind === 'failed') throw new AppError('invalid', message);
  throw new AppError('invalid', `${model.name} on ${model.pe}: ${message}`);
}

function messageOf(outcome: Outcome): string {
  return 'message' in outcome ? outcome.message : 'its process answered another question';
}

async function measure(
  models: readonly ModelToProfile[],
  options: ProfileOptions,
  onProgress: (text: string) => void,
): Promise<readonly Measured[]> {
  const { rounds, warmUp = DEFAULT_WARM_UP, periodMs, sysRoot = '/sys' } = options;
  const task = {
    kind: 'measure',
    models,
    rounds,
    warmUp,
    ...(periodMs === undefined ? {} : { periodMs }),
    sysRoot,
    energyWindowMs: ENERGY_WINDOW_MS,
    ...settingsOf(options),
  } as const;
  const outcome = await inChild(task, models, options, onProgress);
  if (outcome.kind === 'measured') return outcome.measured;
  throw new AppError(
    'system',
    `measuring ${models.map(({ name }) => name).join(', ')}: ${messageOf(outcome)}`,
  );
}

function profileOf(
  { name, pe }: ModelToProfile,
  footprint: Footprint | string | undefined,
  measured: Measured | undefined,
): Profile {
  if (typeof footprint !== 'object' || measured === undefined) {
    return {
      name,
      pe,
      available: false,
      reason: footprint === undefined ? 'not measured' : String(footprint),
    };
  }
  return {
    name,
    pe,
    available: true,
    latencyMs: latencyStatistics(measured.latenciesMs),
    createMs: footprint.createMs,
    memory: { residentBytes: footprint.residentBytes },
    ...energyFields(measured.energy),
  };
}

function energyFields(energy: Energy): Pick<ModelProfile, 'energyJ' | 'energyReason'> {
  return 'energyJ' in energy ? energy : { energyJ: null, ...energy };
}
