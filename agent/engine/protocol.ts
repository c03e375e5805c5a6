import type { ProcessingElement } from '../../shared/protocol/window.ts';

/** An operating point that the engine holds ready: a level's model on a processing element. */
export interface LevelSpec {
  readonly pe: ProcessingElement;
  readonly level: number;
  readonly modelPath: string;
}

/** How people are told which point is meant. */
export function nameOfPoint({ level, pe, modelPath }: LevelSpec): string {
  return `level ${level} on ${pe} (${modelPath})`;
}

/** A tensor that every model of a family has; a manifest's `input` and `output` fit. */
export interface TensorSpec {
  readonly name: string;
  readonly shape: readonly number[];
}

/** The models to load, and what each of them takes (uint8) and gives (float32). */
export interface ModelSet {
  readonly points: readonly LevelSpec[];
  readonly input: TensorSpec;
  readonly output: TensorSpec;
  /** Intra-op threads of each session. */
  readonly threads: number;
}

/** What the engine hands to its worker thread. */
export interface WorkerSetup {
  readonly models: ModelSet;
  readonly memory: SharedArrayBuffer;
  readonly slots: number;
}

/** A number answers the oldest run: the milliseconds that it took. Cloning an object would cost 20 us more. */
export type FromWorker =
  | number
  | { readonly kind: 'failed'; readonly message: string }
  | { readonly kind: 'ready' }
  | { readonly kind: 'refused'; readonly message: string }
  | { readonly kind: 'stopped' };

/** The command after which the worker does nothing more; every other one is the index of a point to run. */
export const STOP = -1;

/** One place of the ring: a frame on its way in, its logits on their way out. */
export interface Slot {
  readonly frame: Uint8Array;
  readonly logits: Float32Array;
}

/**
 * The memory that both threads see. Commands are done in their order: command `n` stands at `n` modulo the
 * number of commands, its frame and logits at `n` modulo the number of slots. There is one command more than
 * slots, so that `STOP` always has a place.
 */
export interface SharedRing {
  /** How many commands were given, modulo 2^32: the worker sleeps on it. */
  readonly given: Int32Array;
  /** How many runs the worker has finished, modulo 2^32. */
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

function headerBytes(slots: number): number {
  return 2 * ALIGNMENT_BYTES + aligned((slots + 1) * 4);
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
    commands: new Int32Array(memory, 2 * ALIGNMENT_BYTES, slots + 1),
    slots: Array.from({ length: slots }, (_, index) => {
      const start = headerBytes(slots) + index * slotBytes;
      return {
        frame: new Uint8Array(memory, start, frameBytes),
        logits: new Float32Array(memory, start + aligned(frameBytes), classes),
      };
    }),
  };
}
