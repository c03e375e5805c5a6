import type { Clock } from '../../shared/clock.ts';
import { AppError, describeError, invariant } from '../../shared/errors.ts';
import {
  type Answer,
  commandOf,
  nameOfPoint,
  type PointSpec,
  type Slot,
  type TensorSpec,
} from './protocol.ts';
import { InferenceThread } from './thread.ts';

/** Runs that may be under way or waiting at once. A frame that waits longer than a few runs is stale. */
const DEFAULT_SLOTS = 4;

/** A load takes milliseconds, seconds where the disk is slow and the memory full; this long it hangs. */
const LOAD_TIMEOUT_MS = 60_000;

export interface EngineOptions {
  /** What can be held ready; `run` takes an index into this list. */
  readonly points: readonly PointSpec[];
  readonly input: TensorSpec;
  readonly output: TensorSpec;
  /** Runs under way or waiting at once, default 4; one more is refused. */
  readonly slots?: number;
  /** A run that takes longer hangs. */
  readonly runTimeoutMs: number;
  readonly clock: Clock;
  /** Points to load before the engine is handed out, in this order; default all. */
  readonly warm?: readonly number[];
  /**
   * Told of each point of `warm` that cannot be loaded: a broken model, a provider that is not there. The
   * others serve without it. Without this function it fails the start.
   */
  readonly onUnusable?: (point: number, error: AppError) => void;
  /** Told of each point that serves its portable model because its lean one cannot be loaded. */
  readonly onFallback?: (point: number, error: AppError) => void;
  /**
   * Called once when the engine can serve no more: a run or a load hangs, or the worker died. A hung native
   * call cannot be stopped, and exiting during it aborts: end the process with SIGKILL.
   */
  readonly onFatal: (error: AppError) => void;
}

export interface Inference {
  /** The caller's to keep. */
  readonly logits: Float32Array;
  /** The run alone, in the worker. */
  readonly runMs: number;
  /** From the call to its answer, waiting for earlier runs included. */
  readonly totalMs: number;
}

/** Runs models in a worker thread: native inference blocks the thread that calls it. */
export interface Engine extends AsyncDisposable {
  /**
   * Runs one frame through a point, after the runs that were asked for earlier. The frame is copied before
   * this returns.
   * @throws AppError `conflict` when every slot is taken or the point is not warm, `invalid` for a frame of
   * another size, `timeout` when the run hangs, `system` when it fails or the engine is closed or dead
   */
  run(pointIndex: number, frame: Uint8Array): Promise<Inference>;
  /**
   * Loads a point and runs it once. It begins when no run is under way or waiting, and blocks the worker for
   * 3 to 50 ms: a frame that comes meanwhile waits for it.
   * @throws AppError `invalid` when its model cannot be used: the other points go on
   */
  load(pointIndex: number): Promise<void>;
  /** Gives up what a point holds. From the call on it is not warm; runs that were asked for before still run. */
  unload(pointIndex: number): Promise<void>;
  /** Whether `run` takes this point. */
  isWarm(pointIndex: number): boolean;
  /**
   * Lets the runs under way finish, then ends the worker. Repeated calls share one closing.
   * @throws AppError `timeout` when the worker hangs: end the process with SIGKILL, `exit` would abort
   */
  close(): Promise<void>;
}

/**
 * Starts the worker and waits until every point of `warm` is loaded, checked and warm.
 * @throws AppError `invalid` naming level and file when a model cannot be used, or with `onUnusable` when none
 * can; no worker is left then. `timeout` when a load hangs: end the process with SIGKILL
 */
export async function startEngine(options: EngineOptions): Promise<Engine> {
  const engine = new WorkerEngine(options);
  try {
    await engine.start();
  } catch (error) {
    // What hangs cannot be closed either; the first error says more.
    await engine.close().catch(() => undefined);
    throw error;
  }
  return engine;
}

/** A load or unload that waits for the worker to have no run. */
interface Chore {
  readonly deed: 'load' | 'unload';
  readonly point: number;
  readonly result: PromiseWithResolvers<void>;
}

class WorkerEngine implements Engine {
  readonly #options: EngineOptions;
  readonly #slots: number;
  readonly #thread: InferenceThread;
  readonly #warm = new Set<number>();
  /** Waiting; the one that the worker has is not among them. */
  readonly #chores: Chore[] = [];
  /** The last chore of each point, done or not. */
  readonly #lastChore = new Map<number, Chore>();
  #busyWith: Chore | undefined;
  #starting = true;
  #closing = false;

  constructor(options: EngineOptions) {
    const { points, input, output, slots = DEFAULT_SLOTS, clock, runTimeoutMs } = options;
    this.#options = options;
    this.#slots = slots;
    this.#thread = new InferenceThread({
      models: { points, input, output },
      slots,
      clock,
      leastBoundMs: runTimeoutMs,
      onFault: (error) => this.#fail(error),
    });
  }

  async start(): Promise<void> {
    const { points, warm = [...points.keys()], onUnusable } = this.#options;
    const unusable: AppError[] = [];
    for (const point of warm) {
      try {
        await this.load(point);
      } catch (error) {
        const isOfThePoint = error instanceof AppError && error.code === 'invalid';
        if (onUnusable === undefined || !isOfThePoint) throw error;
        unusable.push(error);
        onUnusable(point, error);
      }
    }
    const [first] = unusable;
    if (first !== undefined && this.#warm.size === 0) {
      throw new AppError('invalid', `no point can be used: ${describeError(first)}`, { cause: first });
    }
    this.#starting = false;
  }

  async run(pointIndex: number, frame: Uint8Array): Promise<Inference> {
    this.#admit(pointIndex, frame);
    const { clock, runTimeoutMs } = this.#options;
    const arrivedMs = clock.monoMs();
    const result = Promise.withResolvers<Inference>();
    const done = (answer: Answer, { logits }: Slot): void => {
      if (typeof answer === 'number') {
        result.resolve({ logits: logits.slice(), runMs: answer, totalMs: clock.monoMs() - arrivedMs });
      } else {
        result.reject(this.#failureOf(pointIndex, answer));
      }
      this.#nextChore();
    };
    const command = commandOf('run', pointIndex);
    const name = (): string => this.#nameOf(pointIndex);
    this.#thread.give({ command, boundMs: runTimeoutMs, name, done, failed: result.reject }, frame);
    return await result.promise;
  }

  async load(pointIndex: number): Promise<void> {
    const last = this.#lastChore.get(pointIndex);
    await (last?.deed === 'load' ? last : this.#addChore('load', pointIndex)).result.promise;
  }

  async unload(pointIndex: number): Promise<void> {
    this.#warm.delete(pointIndex);
    const last = this.#lastChore.get(pointIndex);
    if (last === undefined) return;
    await (last.deed === 'unload' ? last : this.#addChore('unload', pointIndex)).result.promise;
  }

  isWarm(pointIndex: number): boolean {
    return this.#warm.has(pointIndex);
  }

  async close(): Promise<void> {
    this.#closing = true;
    for (const { result } of this.#chores.splice(0)) result.reject(closed());
    await this.#thread.close();
  }

  [Symbol.asyncDispose](): Promise<void> {
    return this.close();
  }

  #admit(pointIndex: number, frame: Uint8Array): void {
    this.#checkOpen(pointIndex);
    const bytes = this.#thread.frameBytes;
    if (frame.length !== bytes) {
      throw new AppError('invalid', `a frame of ${frame.length} bytes, the family takes ${bytes}`);
    }
    if (!this.#warm.has(pointIndex)) {
      throw new AppError('conflict', `${this.#nameOf(pointIndex)} is not warm: load it before it runs`);
    }
    // A chore that the worker has takes no slot.
    const runs = this.#thread.pending - (this.#busyWith === undefined ? 0 : 1);
    if (runs >= this.#slots) {
      throw new AppError('conflict', `all ${this.#slots} slots of the engine are taken: offer fewer frames`);
    }
  }

  #checkOpen(pointIndex: number): void {
    if (this.#thread.fault !== undefined) throw this.#thread.fault;
    if (this.#closing) throw closed();
    invariant(this.#options.points[pointIndex] !== undefined, `the engine has a point ${pointIndex}`);
  }

  #addChore(deed: Chore['deed'], point: number): Chore {
    this.#checkOpen(point);
    const chore: Chore = { deed, point, result: Promise.withResolvers() };
    // Who asked is told; that the promise is looked at again later must not matter.
    chore.result.promise.catch(() => undefined);
    this.#lastChore.set(point, chore);
    this.#chores.push(chore);
    this.#nextChore();
    return chore;
  }

  /** Gives the worker a chore if it has nothing to do: runs go before. */
  #nextChore(): void {
    if (this.#thread.pending > 0 || this.#closing) return;
    const chore = this.#chores.shift();
    if (chore === undefined) return;
    this.#busyWith = chore;
    const { deed, point, result } = chore;
    this.#thread.give({
      command: commandOf(deed, point),
      boundMs: Math.max(LOAD_TIMEOUT_MS, this.#options.runTimeoutMs),
      name: () => `${this.#nameOf(point)}: its ${deed}`,
      done: (answer) => this.#choreDone(chore, answer),
      failed: result.reject,
    });
  }

  #choreDone(chore: Chore, answer: Answer): void {
    const { point, result } = chore;
    this.#busyWith = undefined;
    if (typeof answer === 'object' && answer.kind === 'failed') {
      if (this.#lastChore.get(point) === chore) this.#lastChore.delete(point);
      result.reject(new AppError('invalid', answer.message));
    } else {
      // It may have been asked to be unloaded meanwhile.
      if (chore.deed === 'load' && this.#lastChore.get(point) === chore) this.#warm.add(point);
      this.#tellFallback(point, answer);
      result.resolve();
    }
    this.#nextChore();
  }

  #tellFallback(point: number, answer: Answer): void {
    if (typeof answer !== 'object' || answer.kind !== 'loaded' || answer.fallback === undefined) return;
    this.#options.onFallback?.(point, new AppError('invalid', answer.fallback));
  }

  #failureOf(point: number, answer: Exclude<Answer, number>): AppError {
    const why = answer.kind === 'failed' ? answer.message : `answered "${answer.kind}"`;
    return new AppError('system', `${this.#nameOf(point)}: its run failed: ${why}`);
  }

  #nameOf(point: number): string {
    const spec = this.#options.points[point];
    return spec === undefined ? `point ${point}` : nameOfPoint(spec);
  }

  #fail(error: AppError): void {
    for (const { result } of this.#chores.splice(0)) result.reject(error);
    if (!this.#starting) this.#options.onFatal(error);
  }
}

function closed(): AppError {
  return new AppError('system', 'the engine is closed and takes no more frames');
}
