import type { ImageShape } from '../../shared/images/decode.ts';
import type { Energy } from '../../shared/measure/energy.ts';

/** A processing element, by the execution provider of ONNX Runtime that stands for it. */
export type ExecutionProvider = 'cpu' | 'cuda' | 'tensorrt';

/** A model on a processing element. */
export interface ModelToProfile {
  readonly name: string;
  readonly path: string;
  readonly pe: ExecutionProvider;
}

/** How models are opened and what they are run on. */
export interface RunSettings {
  /** Intra-op threads of each session. */
  readonly threads: number;
  /** Frames for models that take bytes, in turn; without them, and for models of floats, noise. */
  readonly frames: readonly Uint8Array[];
  /** [height, width, channels] for models that leave sizes open. */
  readonly shape?: ImageShape;
}

/** Create one session in a process that has none, and say what it takes. */
export interface FootprintTask extends RunSettings {
  readonly kind: 'footprint';
  readonly model: ModelToProfile;
}

/** Run all models in turn. */
export interface MeasureTask extends RunSettings {
  readonly kind: 'measure';
  readonly models: readonly ModelToProfile[];
  readonly rounds: number;
  readonly warmUp: number;
  /** One inference per so many milliseconds; without it the next begins when the last has ended. */
  readonly periodMs?: number;
  readonly sysRoot: string;
  readonly energyWindowMs: number;
}

/** Say whether a processing element is there. */
export interface ProviderTask {
  readonly kind: 'provider';
  readonly pe: ExecutionProvider;
}

export type ProfileTask = FootprintTask | MeasureTask | ProviderTask;

export interface Footprint {
  readonly createMs: number;
  /** Resident memory that the session and its first runs added. */
  readonly residentBytes: number;
}

export interface Measured {
  readonly latenciesMs: readonly number[];
  readonly energy: Energy;
}

/** What the child says: how far it is, and how it ended. */
export type FromProfiler =
  | { readonly kind: 'progress'; readonly text: string }
  | { readonly kind: 'failed'; readonly message: string }
  | { readonly kind: 'present' }
  | { readonly kind: 'footprint'; readonly footprint: Footprint }
  | { readonly kind: 'measured'; readonly measured: readonly Measured[] };
