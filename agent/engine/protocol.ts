import type { ProcessingElement } from '../../shared/protocol/window.ts';

/** An operating point that the engine can hold ready: a level's model, where and with what it runs. */
export interface PointSpec {
  readonly pe: ProcessingElement;
  readonly level: number;
  /** The portable model: what is right when anything else is in doubt. */
  readonly modelPath: string;
  /** The same model as `prepareLean` made it for this machine's CPU; taken where the only provider is `cpu`. */
  readonly leanPath?: string;
  /** Intra-op threads of its session. */
  readonly threads: number;
  /** Execution providers, in the order of preference. */
  readonly providers: readonly string[];
}

/** Whether nothing but the CPU runs any part of a point's model. */
export function isCpuOnly({ providers }: PointSpec): boolean {
  return providers.length === 1 && providers[0] === 'cpu';
}

/** How people are told which point is meant. */
export function nameOfPoint({ level, pe, modelPath }: PointSpec): string {
  return `level ${level} on ${pe} (${modelPath})`;
}

/** A tensor that every model of a family has; a manifest's `input` and `output` fit. */
export interface TensorSpec {
  readonly name: string;
  readonly shape: readonly number[];
}

/** The models to load, and what each of them takes (uint8) and gives (float32). */
export interface ModelSet {
  readonly points: readonly PointSpec[];
  readonly input: TensorSpec;
  readonly output: TensorSpec;
}

/** What the engine hands to its worker thread. */
export interface WorkerSetup {
  readonly models: ModelSet;
  readonly memory: SharedArrayBuffer;
  readonly slots: number;
}

/**
 * The answer to the oldest command that is not answered. A number is of a run: the milliseconds that it took.
 * Cloning an object would cost 20 us more.
 */
export type Answer =
  | number
  | {
      readonly kind: 'loaded';
      /** Why the portable model was loaded, where a lean one was named. */
      readonly fallback?: string;
    }
  | { readonly kind: 'unloaded' }
  | { readonly kind: 'failed'; readonly message: string };

export type FromWorker = Answer | { readonly kind: 'stopped' };

/** What the worker is told to do with a point; as a number, because it stands in shared memory. */
export type Deed = 'run' | 'load' | 'unload';
const DEEDS: readonly Deed[] = ['run', 'load', 'unload'];

/** The command after which the worker does nothing more. */
export const STOP = -1;

/** The command to do something with a point. */
export function commandOf(deed: Deed, point: number): number {
  return point * DEEDS.length + DEEDS.indexOf(deed);
}

/** What a command other than `STOP` says. */
export function readCommand(command: number): { readonly deed: Deed; readonly point: number } {
  const deed = DEEDS[command % DEEDS.length] ?? 'run';
  return { deed, point: Math.floor(command / DEEDS.length) };
}

/** One place of the ring: a frame on its way in, its logits on their way out. */
export interface Slot {
  readonly frame: Uint8Array;
  readonly logits: Float32Array;
}

/**
 * The memory that both threads see. Commands are done in their order: command `n` stands at `n` modulo the
 * number of commands, its frame and logits at `n` modulo the number of slots. There are two commands more
 * than slots, so that `STOP` always has a place, and a load or unload when runs wait behind it.
 */
export interface SharedRing {
  /** How many commands were given, modulo 2^32: the worker sleeps on it. */
  readonly given: Int32Array;
  /** How many commands the worker has finished, modulo 2^32. */
  readonly finished: Uint32Array;
  readonly commands: Int32Array;
  readonly slots: readonly Slot[];
}

/** Every part begins on a cache line of its own, so that the threads do not take lines from each other. */
const ALIGNMENT_BYTES = 64;

function aligned(bytes: number): number {
  return Math.ceil(bytes / ALIGNMENT_BYTES) * ALIGNMENT_BYTES;
}

/** Number of elements of a tensor. */
export function elementsOf(tensor: TensorSpec): number {
  return tensor.shape.reduce((product, dimension) => product * dimension, 1);
}

/** Beside the slots' own: `STOP`, and a load or unload. */
const SPARE_COMMANDS = 2;

function headerBytes(slots: number): number {
  return 2 * ALIGNMENT_BYTES + aligned((slots + SPARE_COMMANDS) * 4);
}

/** Bytes of shared memory that a ring of `slots` places takes. */
export function ringBytes(models: ModelSet, slots: number): number {
  const slotBytes = aligned(elementsOf(models.input)) + aligned(elementsOf(models.output) * 4);
  return headerBytes(slots) + slots * slotBytes;
}

/** Lays the ring over its memory; both threads do, and see the same. */
export function ringOver({ models, memory, slots }: WorkerSetup): SharedRing {
  const frameBytes = elementsOf(models.input);
  const classes = elementsOf(models.output);
  const slotBytes = aligned(frameBytes) + aligned(classes * 4);
  return {
    given: new Int32Array(memory, 0, 1),
    finished: new Uint32Array(memory, ALIGNMENT_BYTES, 1),
    commands: new Int32Array(memory, 2 * ALIGNMENT_BYTES, slots + SPARE_COMMANDS),
    slots: Array.from({ length: slots }, (_, index) => {
      const start = headerBytes(slots) + index * slotBytes;
      return {
        frame: new Uint8Array(memory, start, frameBytes),
        logits: new Float32Array(memory, start + aligned(frameBytes), classes),
      };
    }),
  };
}
